/* Counting electrons in frames of a pixel detector: the fast twin of emkit.count.definition, equal event for event.

   v = raw - dark; a pixel counts where low <= v < high, and is 0 elsewhere; an event is a pixel that counts and is greater than
   its up to eight neighbours. With `keep`, of a plateau (connected pixels of one value, no neighbour greater) the first one is an
   event too. Events are flat indices row * width + column, in ascending order.

   Two phases: most pixels are noise, so whole vectors of them are compared with `low` and let go; only what is left looks at
   its neighbours. Neighbours below `low` need no care, since what is compared with them is not below it. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define BAND 4 /* rows between the phases: few enough that they are still in the first cache */

/* ---- any pixel: the definition, for the type of `v`, which is corrected already ---- */

/* The up to eight neighbours of a pixel, in order; how many. */
static inline int around(ptrdiff_t at, ptrdiff_t height, ptrdiff_t width, int32_t *near)
{
    int32_t p = (int32_t)at, w = (int32_t)width, row = p / w, column = p % w;
    int count = 0;
    if (row && row + 1 < height && column && column + 1 < w) {
        const int32_t all[8] = {p - w - 1, p - w, p - w + 1, p - 1, p + 1, p + w - 1, p + w, p + w + 1};
        for (; count < 8; count++)
            near[count] = all[count];
        return 8;
    }
    for (int32_t y = row ? row - 1 : 0; y <= row + 1 && y < height; y++)
        for (int32_t x = column ? column - 1 : 0; x <= column + 1 && x < w; x++)
            if (y != row || x != column)
                near[count++] = y * w + x;
    return count;
}

#define DEFINE_EVENTS(NAME, TYPE, CORRECT)                                                                                     \
    typedef struct {                                                                                                           \
        const CORRECT *raw, *dark;                                                                                             \
        ptrdiff_t height, width;                                                                                               \
        TYPE low, high;                                                                                                        \
    } NAME##_frame;                                                                                                            \
                                                                                                                               \
    static inline TYPE NAME##_value(const NAME##_frame *f, ptrdiff_t at)                                                       \
    {                                                                                                                          \
        TYPE v = (TYPE)f->raw[at] - (f->dark ? (TYPE)f->dark[at] : 0);                                                         \
        return v >= f->low && v < f->high ? v : 0;                                                                             \
    }                                                                                                                          \
                                                                                                                               \
    /* Whether the pixel is the first of a plateau, as far as `room` pixels of it tell: -1 if it has more. */                  \
    static inline int NAME##_first_of(const NAME##_frame *f, ptrdiff_t at, TYPE v, int32_t *stack, ptrdiff_t room, uint8_t *seen)\
    {                                                                                                                          \
        ptrdiff_t found = 0, done = 0;                                                                                         \
        int first = 1;                                                                                                         \
        stack[found++] = (int32_t)at;                                                                                          \
        while (first == 1 && done < found) {                                                                                   \
            int32_t near[8];                                                                                                   \
            int count = around(stack[done++], f->height, f->width, near);                                                      \
            for (int k = 0; k < count; k++) {                                                                                  \
                int32_t q = near[k];                                                                                           \
                TYPE u = NAME##_value(f, q);                                                                                   \
                if (u < v || q == at)                                                                                          \
                    continue;                                                                                                  \
                if (u > v || q < at) {                                                                                         \
                    first = 0;                                                                                                 \
                    break;                                                                                                     \
                }                                                                                                              \
                int known = seen ? seen[q] : 0;                                                                                \
                for (ptrdiff_t j = 1; !seen && j < found; j++)                                                                 \
                    known |= stack[j] == q;                                                                                    \
                if (known)                                                                                                     \
                    continue;                                                                                                  \
                if (found == room) {                                                                                           \
                    first = -1;                                                                                                \
                    break;                                                                                                     \
                }                                                                                                              \
                if (seen)                                                                                                      \
                    seen[q] = 1;                                                                                               \
                stack[found++] = q;                                                                                            \
            }                                                                                                                  \
        }                                                                                                                      \
        while (seen && found)                                                                                                  \
            seen[stack[--found]] = 0;                                                                                          \
        return first;                                                                                                          \
    }                                                                                                                          \
                                                                                                                               \
    /* `seen` and `stack` hold as many pixels as a frame; `seen` is left clean. Few plateaus need them, and they are far away. */\
    static int NAME##_first(const NAME##_frame *f, ptrdiff_t at, TYPE v, uint8_t *seen, int32_t *stack)                        \
    {                                                                                                                          \
        int32_t near[8];                                                                                                       \
        int first = NAME##_first_of(f, at, v, near, 8, NULL);                                                                  \
        return first >= 0 ? first : NAME##_first_of(f, at, v, stack, f->height * f->width, seen);                              \
    }                                                                                                                          \
                                                                                                                               \
    static inline int NAME##_is_event(const NAME##_frame *f, ptrdiff_t at, TYPE v, uint8_t *seen, int32_t *stack)              \
    {                                                                                                                          \
        int32_t near[8];                                                                                                       \
        int count = around(at, f->height, f->width, near), tied = 0;                                                           \
        for (int k = 0; k < count; k++) {                                                                                      \
            TYPE u = NAME##_value(f, near[k]);                                                                                 \
            if (u > v)                                                                                                         \
                return 0;                                                                                                      \
            tied |= u == v;                                                                                                    \
        }                                                                                                                      \
        return !tied || (seen && NAME##_first(f, at, v, seen, stack));                                                         \
    }

#define DEFINE_COUNT(NAME, TYPE, CORRECT)                                                                                        \
    DEFINE_EVENTS(NAME, TYPE, CORRECT)                                                                                           \
    ptrdiff_t NAME(const CORRECT *raw, const CORRECT *dark, ptrdiff_t height, ptrdiff_t width, TYPE low, TYPE high,              \
                   uint8_t *seen, int32_t *stack, uint32_t *events)                                                              \
    {                                                                                                                            \
        NAME##_frame f = {raw, dark, height, width, low, high};                                                                  \
        ptrdiff_t count = 0;                                                                                                     \
        for (ptrdiff_t at = 0; at < height * width; at++) {                                                                      \
            TYPE v = NAME##_value(&f, at);                                                                                       \
            if (v >= low && v < high && NAME##_is_event(&f, at, v, seen, stack))                                                 \
                events[count++] = (uint32_t)at;                                                                                  \
        }                                                                                                                        \
        return count;                                                                                                            \
    }

DEFINE_COUNT(count_int64, int64_t, int64_t)
DEFINE_COUNT(count_float32, float, float)
DEFINE_EVENTS(small, int32_t, uint16_t) /* as the cameras write them; low >= 1 */

/* ---- 16 bit, by vectors ---- */

typedef struct {
    int32_t at, x;
    uint32_t mask; /* which of the 32 pixels from there on are above `low` */
} survivors;

static inline ptrdiff_t each(const small_frame *f, survivors found, uint8_t *seen, int32_t *stack, uint32_t *events)
{
    ptrdiff_t count = 0;
    for (uint32_t mask = found.mask; mask; mask &= mask - 1) {
        ptrdiff_t at = found.at + __builtin_ctz(mask);
        int32_t v = small_value(f, at);
        if (v && small_is_event(f, at, v, seen, stack))
            events[count++] = (uint32_t)at;
    }
    return count;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,bmi,bmi2,popcnt")))
#define INLINE AVX512 static inline __attribute__((always_inline)) /* `dark` is known to be there, or not, where it is used */

/* Corrected pixels, not below 0; lanes outside `lanes` are 0, and their memory is not touched. */
INLINE __m512i load(const uint16_t *raw, const uint16_t *dark, ptrdiff_t at, __mmask32 lanes)
{
    __m512i v = _mm512_maskz_loadu_epi16(lanes, raw + at);
    return dark ? _mm512_subs_epu16(v, _mm512_maskz_loadu_epi16(lanes, dark + at)) : v;
}

INLINE uint16_t one(const uint16_t *raw, const uint16_t *dark, ptrdiff_t at)
{
    return !dark ? raw[at] : raw[at] > dark[at] ? (uint16_t)(raw[at] - dark[at]) : 0;
}

/* The greatest of a pixel and those above and below. */
INLINE uint16_t column(const uint16_t *raw, const uint16_t *dark, ptrdiff_t at, ptrdiff_t width, int above, int below)
{
    uint16_t v = one(raw, dark, at), u = above ? one(raw, dark, at - width) : 0, w = below ? one(raw, dark, at + width) : 0;
    u = u > w ? u : w;
    return u > v ? u : v;
}

/* Of a pixel with neighbours as bright as it is, and none brighter: whether it is the first of a plateau of two; -1: of more than
   two, ask the definition. Most plateaus are of two. Reads two rows and columns around. */
INLINE int first_of_two(const uint16_t *raw, const uint16_t *dark, ptrdiff_t at, ptrdiff_t width, uint16_t v, int32_t high)
{
    const ptrdiff_t near[8] = {-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1};
    int before = 0, after = 0, brighter = 0, same = 0;
    for (int k = 0; k < 4; k++) {
        before |= one(raw, dark, at + near[k]) == v;
        after |= (one(raw, dark, at + near[k + 4]) == v) << (k + 4);
    }
    if (before)
        return 0;
    ptrdiff_t other = at + near[__builtin_ctz(after)];
    for (int k = 0; k < 8; k++) {
        uint16_t u = one(raw, dark, other + near[k]);
        brighter |= (u > v) & (u < high);
        same += u == v;
    }
    return same > 1 || after & (after - 1) ? -1 : !brighter;
}

/* Which of these pixels, from `at` and column `x` on, are events after all. Apart from the loop that asks, which is rarely answered. */
AVX512 static __attribute__((noinline)) uint32_t settle(const small_frame *f, ptrdiff_t at, ptrdiff_t x, uint32_t beside,
                                                        uint32_t tied, uint8_t *seen, int32_t *stack)
{
    uint32_t events = 0;
    for (uint32_t rest = beside | tied; rest; rest &= rest - 1) {
        ptrdiff_t lane = __builtin_ctz(rest), pixel = at + lane;
        uint16_t v = one(f->raw, f->dark, pixel);
        int inside = at >= f->width && pixel < (f->height - 2) * f->width && x + lane > 1 && x + lane < f->width - 2;
        int event = beside >> lane & 1 ? small_is_event(f, pixel, v, seen, stack)
                    : inside           ? first_of_two(f->raw, f->dark, pixel, f->width, v, f->high)
                                       : -1;
        events |= (uint32_t)(event < 0 ? small_first(f, pixel, v, seen, stack) : event) << lane;
    }
    return events;
}

INLINE ptrdiff_t count_vectors(const small_frame *f, const uint16_t *dark, uint8_t *seen, int32_t *stack, survivors *left,
                               uint32_t *events)
{
    const uint16_t *raw = f->raw;
    const ptrdiff_t width = f->width, height = f->height;
    const __m512i low = _mm512_set1_epi16((int16_t)f->low), high = _mm512_set1_epi16((int16_t)f->high);
    const __m512i lane = _mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8,
                                          7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i before = _mm512_sub_epi16(lane, _mm512_set1_epi16(1)), after = _mm512_add_epi16(lane, _mm512_set1_epi16(1));
    ptrdiff_t count = 0;
    for (ptrdiff_t band = 0; band < height; band += BAND) {
        ptrdiff_t end = band + BAND < height ? band + BAND : height, found = 0;
        for (ptrdiff_t row = band; row < end; row++) {
            ptrdiff_t x = 0;
            for (; x + 32 <= width; x += 32) {
                uint32_t mask = _mm512_cmpge_epu16_mask(load(raw, dark, row * width + x, 0xffffffffu), low);
                left[found] = (survivors){(int32_t)(row * width + x), (int32_t)x, mask};
                found += mask != 0;
            }
            if (x < width) {
                uint32_t mask = _mm512_cmpge_epu16_mask(load(raw, dark, row * width + x, (1u << (width - x)) - 1), low);
                left[found] = (survivors){(int32_t)(row * width + x), (int32_t)x, mask};
                found += mask != 0;
            }
        }
        for (ptrdiff_t i = 0; i < found; i++) {
            ptrdiff_t at = left[i].at, x = left[i].x;
            int above = at >= width, below = at < (height - 1) * width;
            __mmask32 lanes = width - x < 32 ? (1u << (width - x)) - 1 : 0xffffffffu;
            __m512i v = load(raw, dark, at, lanes), u = above ? load(raw, dark, at - width, lanes) : _mm512_setzero_si512();
            __m512i w = below ? load(raw, dark, at + width, lanes) : _mm512_setzero_si512();
            u = _mm512_max_epu16(u, w);
            w = _mm512_max_epu16(u, v); /* of each column; its neighbours have these to their left and right */
            int16_t first = x ? (int16_t)column(raw, dark, at - 1, width, above, below) : 0;
            int16_t last = x + 32 < width ? (int16_t)column(raw, dark, at + 32, width, above, below) : 0;
            __m512i most = _mm512_max_epu16(_mm512_mask_set1_epi16(_mm512_permutexvar_epi16(before, w), 1, first),
                                            _mm512_mask_set1_epi16(_mm512_permutexvar_epi16(after, w), 1u << 31, last));
            most = _mm512_max_epu16(most, u);
            __mmask32 counts = left[i].mask & _mm512_cmplt_epu16_mask(v, high);
            uint32_t mask = counts & _mm512_cmpgt_epu16_mask(v, most);
            /* beside something too bright by the definition; as bright as a neighbour: if it is the first of its plateau */
            uint32_t beside = counts & _mm512_cmpge_epu16_mask(most, high);
            uint32_t tied = seen ? counts & ~beside & _mm512_cmpeq_epu16_mask(v, most) : 0;
            if (beside | tied)
                mask |= settle(f, at, x, beside, tied, seen, stack);
            /* two are written whether they are or not: to ask would cost more. `events` has room for that. */
            events[count] = (uint32_t)at + _tzcnt_u32(mask);
            events[count + 1] = (uint32_t)at + _tzcnt_u32(mask & (mask - 1));
            ptrdiff_t more = count + 2;
            count += __builtin_popcount(mask);
            mask &= mask - 1;
            for (mask &= mask - 1; more < count; mask &= mask - 1)
                events[more++] = (uint32_t)(at + __builtin_ctz(mask));
        }
    }
    return count;
}

AVX512 static ptrdiff_t count_avx512(const small_frame *f, uint8_t *seen, int32_t *stack, survivors *left, uint32_t *events)
{
    return f->dark ? count_vectors(f, f->dark, seen, stack, left, events) : count_vectors(f, NULL, seen, stack, left, events);
}

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

/* What the compiler makes of it: 32 pixels at once are below `low`, or looked at one by one. */
CLONES static int any_from(const uint16_t *raw, const uint16_t *dark, uint16_t low)
{
    uint16_t most = 0;
    if (dark)
        for (int i = 0; i < 32; i++) {
            uint16_t v = raw[i] > dark[i] ? (uint16_t)(raw[i] - dark[i]) : 0;
            most = v > most ? v : most;
        }
    else
        for (int i = 0; i < 32; i++)
            most = raw[i] > most ? raw[i] : most;
    return most >= low;
}

static ptrdiff_t count_portable(const small_frame *f, uint8_t *seen, int32_t *stack, uint32_t *events)
{
    ptrdiff_t count = 0, pixels = f->height * f->width, at = 0;
    for (; at + 32 <= pixels; at += 32)
        if (any_from(f->raw + at, f->dark ? f->dark + at : NULL, (uint16_t)f->low))
            count += each(f, (survivors){(int32_t)at, 0, 0xffffffffu}, seen, stack, events + count);
    if (at < pixels)
        count += each(f, (survivors){(int32_t)at, 0, (1u << (pixels - at)) - 1}, seen, stack, events + count);
    return count;
}

/* Frames of 16 bit: `ends[k]` is the number of events up to and with frame k. Needs 1 <= low <= 65535; high <= 65536.
   `fastest` 0 takes the portable way, for comparison. `events` has room for two more
   than there can be. Returns -1 where no memory is left for its own needs. */
ptrdiff_t count_uint16(const uint16_t *raw, const uint16_t *dark, ptrdiff_t frames, ptrdiff_t height, ptrdiff_t width, int32_t low,
                       int32_t high, uint8_t *seen, int32_t *stack, int fastest, int64_t *ends, uint32_t *events)
{
    ptrdiff_t count = 0;
#if defined(__x86_64__)
    /* 65536 does not fit a lane, and means: nothing is too bright */
    fastest = fastest && has_avx512() && high <= 65535;
    survivors *left = fastest ? malloc(sizeof(survivors) * BAND * (size_t)(width / 32 + 2)) : NULL;
    if (fastest && !left)
        return -1;
#endif
    for (ptrdiff_t k = 0; k < frames; k++) {
        small_frame f = {raw + k * height * width, dark, height, width, low, high};
#if defined(__x86_64__)
        if (fastest)
            count += count_avx512(&f, seen, stack, left, events + count);
        else
#endif
            count += count_portable(&f, seen, stack, events + count);
        ends[k] = count;
    }
#if defined(__x86_64__)
    free(left);
#endif
    return count;
}

/* ---- sums over the events of each frame: of a mask, and of weights ---- */

void sum_mask(const uint32_t *indices, const int64_t *offsets, ptrdiff_t frames, const uint8_t *mask, int64_t *sums)
{
    for (ptrdiff_t k = 0; k < frames; k++) {
        int64_t sum = 0;
        for (int64_t i = offsets[k]; i < offsets[k + 1]; i++)
            sum += mask[indices[i]];
        sums[k] = sum;
    }
}

void sum_weights(const uint32_t *indices, const int64_t *offsets, ptrdiff_t frames, const double *weights, double *sums)
{
    for (ptrdiff_t k = 0; k < frames; k++) {
        double sum = 0;
        for (int64_t i = offsets[k]; i < offsets[k + 1]; i++)
            sum += weights[indices[i]];
        sums[k] = sum;
    }
}
