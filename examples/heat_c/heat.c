/* Heat in a thin rod, explicit finite differences:
 *
 *     dT/dt = alpha d2T/dx2,   T_i <- T_i + r (T_{i-1} - 2 T_i + T_{i+1}),   r = alpha dt / dx^2
 *
 * The temperatures at both ends stay as they are. Stable for r <= 1/2 (the caller chooses the time step).
 */

#include <stddef.h>
#include <string.h>

/* Advance `t` (n temperatures) by `steps` steps. `scratch` has room for n temperatures. */
void heat_steps(double *t, double *scratch, size_t n, double r, size_t steps)
{
    if (n < 3)
        return;
    memcpy(scratch, t, n * sizeof *t);
    for (size_t step = 0; step < steps; ++step) {
        for (size_t i = 1; i + 1 < n; ++i)
            scratch[i] = t[i] + r * (t[i - 1] - 2.0 * t[i] + t[i + 1]);
        memcpy(t, scratch, n * sizeof *t);
    }
}
