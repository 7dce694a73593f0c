from tesseract.cli.main import main

main()
