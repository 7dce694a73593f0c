/* thomas - solve a tridiagonal system read from stdin: n, then the lower, main and upper diagonal, then the right side.
 * Writes the solution to stdout, one number a line, and progress to stderr. Exit status 3: the matrix is singular. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static double *read_vector(int n) {
  double *values = malloc(sizeof(double) * (n > 0 ? n : 1));
  for (int i = 0; i < n; i++)
    if (!values || scanf("%lf", &values[i]) != 1) {
      fprintf(stderr, "thomas: input ends after %d of %d numbers\n", i, n);
      exit(2);
    }
  return values;
}

int main(void) {
  int n;
  if (scanf("%d", &n) != 1 || n < 1) return fprintf(stderr, "thomas: no size given\n"), 2;
  double *lower = read_vector(n), *diagonal = read_vector(n), *upper = read_vector(n), *right = read_vector(n);
  for (int i = 0; i < n; i++) {
    if (i) {
      double factor = lower[i] / diagonal[i - 1];
      diagonal[i] -= factor * upper[i - 1];
      right[i] -= factor * right[i - 1];
    }
    if (fabs(diagonal[i]) < 1e-300) return fprintf(stderr, "thomas: singular in row %d\n", i), 3;
  }
  for (int i = n - 1; i >= 0; i--) right[i] = (right[i] - (i < n - 1 ? upper[i] * right[i + 1] : 0)) / diagonal[i];
  for (int i = 0; i < n; i++) printf("%.17g\n", right[i]);
  fprintf(stderr, "thomas: solved %d rows\n", n);
  return 0;
}
