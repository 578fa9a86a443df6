/* Images seen through a map by cubic splines: the fast twin of scipy.ndimage.map_coordinates(order=3, mode="constant").

   Two calls: `spline` turns pixels into the coefficients of the cubic B-spline that passes through them (Unser 1999; mirrored at
   the edges), `sample` sums the 4 x 4 of them about each place that a pixel shows. Places are given at nodes every `step` pixels of
   the output, and lie linearly between: exact for an affine. Beyond the middles of the outermost pixels the value is 0. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define POLE (-0.26794919243112270f) /* sqrt(3) - 2 */
#define HORIZON 16                   /* the pole's 16th power is below the last digit of a float */
#define LANES 8                      /* rows that go side by side: a recursion alone waits for itself */
/* Levels, not features: only with them come fused multiply-adds in short vectors, which halve what a recursion waits. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline)) /* into each clone */

typedef float four __attribute__((vector_size(16), aligned(4), may_alias));

#define RUN 64  /* places in a row that are taken at once */
#define AHEAD 5 /* rows of coefficients that are sent for before they are due */
#define LINE 16 /* floats of a cache line */
#define SIXTH (1.0f / 6)
#define WHOLE 12582912.0f /* 1.5 x 2^23: beside it a float has no room for less than 1 */
#define PAIRS(a, b, k) __builtin_shufflevector(a, b, k, k + 4, k + 1, k + 5)

INLINE ptrdiff_t mirrored(ptrdiff_t k, ptrdiff_t n)
{
    if (n == 1)
        return 0;
    k %= 2 * n - 2;
    return k < n ? k : 2 * n - 2 - k;
}

/* Down the columns, `width` of them at once. */
INLINE void along_columns(float *c, ptrdiff_t height, ptrdiff_t width)
{
    float *first = calloc((size_t)width, sizeof *first), power = 1;
    for (int k = 0; k < HORIZON; k++, power *= POLE) {
        const float *row = c + mirrored(k, height) * width;
        for (ptrdiff_t x = 0; x < width; x++)
            first[x] += power * row[x];
    }
    memcpy(c, first, (size_t)width * sizeof *first);
    free(first);
    for (ptrdiff_t y = 1; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x++)
            c[y * width + x] += POLE * c[(y - 1) * width + x];
    float *last = c + (height - 1) * width, *before = last - width;
    for (ptrdiff_t x = 0; x < width; x++)
        last[x] = 6 * POLE / (POLE * POLE - 1) * (last[x] + POLE * before[x]);
    for (ptrdiff_t y = height - 2; y >= 0; y--)
        for (ptrdiff_t x = 0; x < width; x++)
            c[y * width + x] = POLE * (c[(y + 1) * width + x] - 6 * c[y * width + x]);
}

/* Along `LANES` rows (or fewer), turned so that they lie side by side. */
INLINE void along_rows(float *c, ptrdiff_t rows, ptrdiff_t width, float *side)
{
    for (ptrdiff_t x = 0; x < width; x++)
        for (ptrdiff_t y = 0; y < LANES; y++)
            side[x * LANES + y] = y < rows ? c[y * width + x] : 0;
    along_columns(side, width, LANES);
    for (ptrdiff_t y = 0; y < rows; y++)
        for (ptrdiff_t x = 0; x < width; x++)
            c[y * width + x] = side[x * LANES + y];
}

/* Pixels (height, width), 2 each way at least, to coefficients in place; 0, or -1 for want of memory. */
CLONES int spline(float *c, ptrdiff_t height, ptrdiff_t width)
{
    float *side = malloc((size_t)width * LANES * sizeof *side);
    if (!side)
        return -1;
    along_columns(c, height, width);
    for (ptrdiff_t y = 0; y < height; y += LANES)
        along_rows(c + y * width, height - y < LANES ? height - y : LANES, width, side);
    free(side);
    return 0;
}

INLINE four weights(float t)
{
    const four a = {1, 4, 1, 0}, b = {-3, 0, 3, 0}, c = {3, -6, 3, 0}, d = {-1, 3, -3, 1};
    return (((d * t + c) * t + b) * t + a) * (1.0f / 6);
}

/* `count` places, all 1 px from the edges or more, y and x counted from the coefficient at `c`: first the weights of all, then the
   sums of four at once. Multiplications only: a division costs as much as all else. */
INLINE void all_within(const float *c, ptrdiff_t width, const float *y, const float *x, int count, float *to)
{
    float wy[4][RUN], wx[4][RUN];
    int32_t iy[RUN], ix[RUN];
    for (int k = 0; k < count; k++) {
        iy[k] = (int32_t)y[k], ix[k] = (int32_t)x[k];
        float t = y[k] - (float)iy[k], u = x[k] - (float)ix[k], s = 1 - t, v = 1 - u;
        wy[0][k] = s * s * s * SIXTH, wy[1][k] = 4 * SIXTH + t * t * (0.5f * t - 1), wy[2][k] = 4 * SIXTH + s * s * (0.5f * s - 1), wy[3][k] = t * t * t * SIXTH;
        wx[0][k] = v * v * v * SIXTH, wx[1][k] = 4 * SIXTH + u * u * (0.5f * u - 1), wx[2][k] = 4 * SIXTH + v * v * (0.5f * v - 1), wx[3][k] = u * u * u * SIXTH;
    }
    for (int k = 0; k + 4 <= count; k += 4) {
        four s[4];
        for (int j = 0; j < 4; j++) {
            const float *from = c + (iy[k + j] - 1) * width + ix[k + j] - 1;
            s[j] = wy[0][k + j] * *(const four *)from + wy[1][k + j] * *(const four *)(from + width) +
                   wy[2][k + j] * *(const four *)(from + 2 * width) + wy[3][k + j] * *(const four *)(from + 3 * width);
        }
        four a = PAIRS(s[0], s[1], 0), b = PAIRS(s[0], s[1], 2), d = PAIRS(s[2], s[3], 0), e = PAIRS(s[2], s[3], 2);
        four first = __builtin_shufflevector(a, d, 0, 1, 4, 5), second = __builtin_shufflevector(a, d, 2, 3, 6, 7);
        four third = __builtin_shufflevector(b, e, 0, 1, 4, 5), fourth = __builtin_shufflevector(b, e, 2, 3, 6, 7);
        *(four *)(to + k) = *(four *)(wx[0] + k) * first + *(four *)(wx[1] + k) * second + *(four *)(wx[2] + k) * third + *(four *)(wx[3] + k) * fourth;
    }
}

/* Any place. */
INLINE float at(const float *c, ptrdiff_t height, ptrdiff_t width, double y, double x)
{
    const double near = 1e-6; /* a place at the edge stays inside, whatever the last digit of its sum */
    if (!(y >= -near && x >= -near && y <= height - 1 + near && x <= width - 1 + near))
        return 0;
    ptrdiff_t iy = (ptrdiff_t)(y + 1) - 1, ix = (ptrdiff_t)(x + 1) - 1;
    four wy = weights((float)(y - iy)), wx = weights((float)(x - ix));
    float value = 0;
    for (int j = 0; j < 4; j++)
        for (int k = 0; k < 4; k++)
            value += wy[j] * wx[k] * c[mirrored(labs(iy - 1 + j), height) * width + mirrored(labs(ix - 1 + k), width)];
    return value;
}

/* `count` pixels of a row of the output, RUN or fewer, between two rows of nodes: `share` of the way from the one above. */
INLINE void sample_run(const float *c, ptrdiff_t height, ptrdiff_t width, const double *above, const double *below, double share,
                       int step, int count, float *out)
{
    const double part = 1.0 / step;
    const four ramp = {0, 1, 2, 3};
    const int parts = (count + step - 1) / step;
    double y[RUN / 4 + 1], x[RUN / 4 + 1], low_y = (double)height, low_x = (double)width;
    int inner = 1, k = 0;
    for (int n = 0; n <= parts; n++) {
        y[n] = above[2 * n] + share * (below[2 * n] - above[2 * n]);
        x[n] = above[2 * n + 1] + share * (below[2 * n + 1] - above[2 * n + 1]);
        inner = inner && y[n] >= 1 && x[n] >= 1 && y[n] < height - 2 && x[n] < width - 2;
        low_y = y[n] < low_y ? y[n] : low_y, low_x = x[n] < low_x ? x[n] : low_x;
    }
    if (inner) { /* all nodes are, so all between them; counted from a corner, a float holds a place to some 1e-5 px */
        const ptrdiff_t top = (ptrdiff_t)low_y, first = (ptrdiff_t)low_x, soon = top + AHEAD < height ? top + AHEAD : height - 1;
        float near_y[RUN], near_x[RUN];
        for (int line = 0; line <= RUN; line += LINE)
            __builtin_prefetch(c + soon * width + first + line);
        for (int n = 0; n < parts; n++) {
            const float from_y = (float)(y[n] - (double)top), by_y = (float)((y[n + 1] - y[n]) * part);
            const float from_x = (float)(x[n] - (double)first), by_x = (float)((x[n + 1] - x[n]) * part);
            for (int j = 0; j < step; j += 4) {
                *(four *)(near_y + n * step + j) = from_y + by_y * (ramp + (float)j);
                *(four *)(near_x + n * step + j) = from_x + by_x * (ramp + (float)j);
            }
        }
        all_within(c + top * width + first, width, near_y, near_x, k = count & ~3, out);
    }
    for (; k < count; k++) {
        const double *py = y + k / step, *px = x + k / step, on = k % step * part;
        out[k] = at(c, height, width, py[0] + on * (py[1] - py[0]), px[0] + on * (px[1] - px[0]));
    }
}

/* `nodes` (node rows, node columns, 2) are places (y, x); `out` (out_height, out_width) starts at the first of them; `step` is a
   multiple of 4, and RUN one of `step`. `bytes` of a pixel: 4 is a float, 1 and 2 are unsigned integers, rounded and held within
   their range. */
CLONES void sample(const float *c, ptrdiff_t height, ptrdiff_t width, const double *nodes, ptrdiff_t node_columns, ptrdiff_t step,
                   void *out, ptrdiff_t out_height, ptrdiff_t out_width, int bytes)
{
    const float most = bytes == 1 ? 255 : 65535;
    for (ptrdiff_t row = 0; row < out_height; row++)
        for (ptrdiff_t left = 0; left < out_width; left += RUN) {
            const double *above = nodes + (row / step * node_columns + left / step) * 2, *below = above + node_columns * 2;
            const double share = (double)(row % step) / (double)step;
            const ptrdiff_t start = row * out_width + left;
            const int count = (int)(out_width - left < RUN ? out_width - left : RUN);
            float run[RUN], *to = bytes == 4 ? (float *)out + start : run;
            if (step == 4) /* known, its loops need no counting */
                sample_run(c, height, width, above, below, share, 4, count, to);
            else
                sample_run(c, height, width, above, below, share, (int)step, count, to);
            for (int x = 0; bytes != 4 && x < count; x++) {
                const float held = to[x] < 0 ? 0 : to[x] > most ? most : to[x];
                to[x] = held + WHOLE - WHOLE; /* rounds half to even, as rint */
            }
            for (int x = 0; bytes == 1 && x < count; x++)
                ((uint8_t *)out)[start + x] = (uint8_t)(int32_t)to[x];
            for (int x = 0; bytes == 2 && x < count; x++)
                ((uint16_t *)out)[start + x] = (uint16_t)(int32_t)to[x];
        }
}
