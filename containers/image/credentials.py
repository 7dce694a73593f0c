"""credentials.py HOST USERNAME FOLDER: write one login for pip, uv and git; its password is the first line of
$SECRET_FILE.
"""

import os
import sys
from pathlib import Path
from urllib.parse import quote

host, username, folder = sys.argv[1:]
lines = Path(os.environ["SECRET_FILE"]).read_text().splitlines()
password = lines[0] if lines else ""
# netrc knows hosts without ports, and needs quotes around what it might take for its own words.
token = '"' + password.replace("\\", "\\\\").replace('"', '\\"') + '"'
with open(f"{folder}/netrc", "a") as file:
    file.write(f"machine {host.partition(':')[0]} login {username} password {token}\n")
with open(f"{folder}/git", "a") as file:
    file.write(f"https://{quote(username, safe='')}:{quote(password, safe='')}@{host}\n")
