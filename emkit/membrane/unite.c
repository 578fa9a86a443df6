/* Union-find of nodes by pairs: Rem's algorithm with splicing (Patwary, Blair and Manne 2010), the fast twin of bioimage_cpp's.

   A node points to a smaller one of its component, or to itself; in the end each points to the smallest. Pairs lie anywhere, so that
   what takes the time is to wait for memory: what the next ones need is asked for ahead. */

#include <stddef.h>
#include <stdint.h>

#define AHEAD 16

/* `parents` of all `nodes` at first point to themselves; no pair names any other. */
void unite(uint32_t *parents, size_t nodes, const uint64_t *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i + AHEAD < count) {
            __builtin_prefetch(parents + pairs[2 * (i + AHEAD)]);
            __builtin_prefetch(parents + pairs[2 * (i + AHEAD) + 1]);
        }
        uint32_t low = pairs[2 * i], high = pairs[2 * i + 1];
        while (parents[low] != parents[high]) {
            if (parents[low] > parents[high]) {
                uint32_t other = low;
                low = high;
                high = other;
            }
            uint32_t next = parents[high];
            parents[high] = parents[low];
            if (next == high)
                break;
            high = next;
        }
    }
    for (size_t i = 0; i < nodes; i++)
        parents[i] = parents[parents[i]];
}
