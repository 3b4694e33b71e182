/* What a core can do at best, for make bench: one pass over the tokens for a whole gradient step of
   prompt-attention, and reading memory from end to end. Not a part of the library. */
#include <math.h>
#include <stddef.h>

/* (1/2n) sum (y - f)^2 at head w and prompt q: adds -gradient to dw and dq. An example of T tokens
   stays in the cache between its two uses. */
#define STEP(name, real, exponential)                                                              \
  void name(const real *X, const real *y, long n, long T, long d, const real *w, const real *q,    \
            real *dw, real *dq) {                                                                  \
    real score[T], value[T];                                                                       \
    for (long i = 0; i < n; i++) {                                                                 \
      const real *x = X + (size_t)i * T * d;                                                       \
      real top = -INFINITY, sum = 0, output = 0;                                                   \
      for (long t = 0; t < T; t++) {                                                               \
        real s = 0, v = 0;                                                                         \
        for (long k = 0; k < d; k++) { s += x[t * d + k] * q[k]; v += x[t * d + k] * w[k]; }       \
        score[t] = s; value[t] = v; top = s > top ? s : top;                                       \
      }                                                                                            \
      for (long t = 0; t < T; t++) {                                                               \
        score[t] = exponential(score[t] - top); sum += score[t]; output += score[t] * value[t];    \
      }                                                                                            \
      output /= sum;                                                                               \
      for (long t = 0; t < T; t++) {                                                               \
        real a = (y[i] - output) * score[t] / sum / n, b = a * (value[t] - output);                \
        for (long k = 0; k < d; k++) { dw[k] += a * x[t * d + k]; dq[k] += b * x[t * d + k]; }     \
      }                                                                                            \
    }                                                                                              \
  }
STEP(step_float, float, expf)
STEP(step_double, double, exp)

/* The sum of an array: every byte is read once. */
#define READ(name, real)                                                                           \
  real name(const real *x, long size) {                                                            \
    real total = 0;                                                                                \
    for (long k = 0; k < size; k++) total += x[k];                                                 \
    return total;                                                                                  \
  }
READ(read_float, float)
READ(read_double, double)
