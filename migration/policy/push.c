/*
 * Hybrid live migration: the order in which pages are pushed in postcopy.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "push.h"

#define WORD_BITS (8 * sizeof(unsigned long))

/* A bubble that is at its windows and had no hit for so long is over; chosen */
#define RETIRE_US 500000

/* The hit ratio forgets: a fault counts 1/16 (chosen), in parts of 2^16 */
#define RATIO_ONE 65536u
#define RATIO_SHIFT 4

typedef enum Side { DOWN, UP, SIDES } Side;

/* Host pages of a block */
typedef struct Bubble {
    bool live;
    unsigned block;
    uint64_t low, high;         /* [low, high): done, nothing to pick there */
    uint64_t hit;               /* where the last fault was */
    int64_t hit_us;
    uint32_t window[SIDES];
    uint32_t ahead[SIDES];      /* pushed since the last hit */
} Bubble;

typedef struct Chunk {
    unsigned block;
    uint64_t number;
    uint16_t heat;
} Chunk;

struct HybridPush {
    HybridPushBlock *blocks;
    unsigned n;
    uint64_t chunk_pages;
    Bubble bubbles[HYBRID_PUSH_PIVOTS];
    GArray *chunks;             /* of Chunk, the hottest first */
    unsigned chunk;             /* those before have been looked through */
    unsigned recent_block;      /* the same */
    uint64_t recent_page;
    unsigned rest_block;        /* where the address order stands */
    uint64_t rest_page;
    uint32_t hit_ratio;
    HybridPushStats stats;
};

/* First target page in [from, to) that is dirty, and in @among; or @to */
static uint64_t next_dirty_among(const HybridPushBlock *b,
                                 const unsigned long *among, uint64_t from,
                                 uint64_t to)
{
    to = MIN(to, b->pages);
    while (from < to) {
        unsigned long word = b->dirty[from / WORD_BITS] &
                             among[from / WORD_BITS];

        word >>= from % WORD_BITS;
        if (word) {
            return MIN(from + __builtin_ctzl(word), to);
        }
        from += WORD_BITS - from % WORD_BITS;
    }
    return to;
}

static uint64_t next_dirty(const HybridPushBlock *b, uint64_t from,
                           uint64_t to)
{
    return next_dirty_among(b, b->dirty, from, to);
}

/* First dirty target page of the host page that @page, a dirty one, is in */
static uint64_t host_page_dirty(const HybridPushBlock *b, uint64_t page)
{
    uint64_t begin = page / b->ratio * b->ratio;

    return next_dirty(b, begin, begin + b->ratio);
}

/* Last dirty target page in [from, to), or @to */
static uint64_t last_dirty(const HybridPushBlock *b, uint64_t from,
                           uint64_t to)
{
    uint64_t end = MIN(to, b->pages);

    while (end > from) {
        uint64_t last = end - 1;
        unsigned long word = b->dirty[last / WORD_BITS] <<
                             (WORD_BITS - 1 - last % WORD_BITS);

        if (word) {
            last -= __builtin_clzl(word);
            return last >= from ? last : to;
        }
        end -= last % WORD_BITS + 1;
    }
    return to;
}

static uint64_t host_pages(const HybridPushBlock *b)
{
    return (b->pages + b->ratio - 1) / b->ratio;
}

static gint hotter_first(gconstpointer a, gconstpointer b)
{
    const Chunk *x = a, *y = b;

    if (x->heat != y->heat) {
        return x->heat > y->heat ? -1 : 1;
    }
    if (x->block != y->block) {
        return x->block < y->block ? -1 : 1;
    }
    return x->number < y->number ? -1 : x->number > y->number;
}

static void push_sort_chunks(HybridPush *p)
{
    for (unsigned n = 0; n < p->n; n++) {
        const HybridPushBlock *b = &p->blocks[n];

        for (uint64_t c = 0; b->heat && c * p->chunk_pages < b->pages; c++) {
            Chunk chunk = { n, c, b->heat[c] };

            if (chunk.heat) {
                g_array_append_val(p->chunks, chunk);
            }
        }
    }
    g_array_sort(p->chunks, hotter_first);
}

HybridPush *hybrid_push_new(const HybridPushBlock *blocks, unsigned n,
                            uint64_t chunk_pages)
{
    HybridPush *p = g_new0(HybridPush, 1);

    p->blocks = g_new(HybridPushBlock, n);
    for (p->n = 0; p->n < n; p->n++) {
        p->blocks[p->n] = blocks[p->n];
    }
    p->chunk_pages = chunk_pages;
    p->chunks = g_array_new(false, false, sizeof(Chunk));
    p->hit_ratio = RATIO_ONE;
    push_sort_chunks(p);
    return p;
}

void hybrid_push_free(HybridPush *p)
{
    if (p) {
        g_array_unref(p->chunks);
        g_free(p->blocks);
        g_free(p);
    }
}

/* ---- bubbles ---- */

/* Host pages from @host to the nearest edge; 0 inside */
static uint64_t bubble_distance(const Bubble *b, uint64_t host, Side *side)
{
    if (host >= b->high) {
        *side = UP;
        return host - b->high + 1;
    }
    if (host < b->low) {
        *side = DOWN;
        return b->low - host;
    }
    *side = host >= b->hit ? UP : DOWN;
    return 0;
}

/* The bubble that expected a fault there, or NULL */
static Bubble *push_find(HybridPush *p, unsigned block, uint64_t host,
                         Side *side)
{
    uint64_t best = UINT64_MAX;
    Bubble *found = NULL;

    for (unsigned i = 0; i < HYBRID_PUSH_PIVOTS; i++) {
        Bubble *b = &p->bubbles[i];
        uint64_t distance;
        Side s;

        if (!b->live || b->block != block) {
            continue;
        }
        distance = bubble_distance(b, host, &s);
        if (distance < best &&
            distance <= 2 * b->window[s] + HYBRID_PUSH_NEAR) {
            best = distance;
            found = b;
            *side = s;
        }
    }
    return found;
}

/* Two bubbles that meet become one: @b takes over the others */
static void push_merge(HybridPush *p, Bubble *b)
{
    for (unsigned i = 0; i < HYBRID_PUSH_PIVOTS; i++) {
        Bubble *o = &p->bubbles[i];

        if (o == b || !o->live || o->block != b->block ||
            o->low > b->high || b->low > o->high) {
            continue;
        }
        if (o->low < b->low) {
            b->low = o->low;
            b->ahead[DOWN] = o->ahead[DOWN];
        }
        if (o->high > b->high) {
            b->high = o->high;
            b->ahead[UP] = o->ahead[UP];
        }
        if (o->hit_us > b->hit_us) {
            b->hit = o->hit;
            b->hit_us = o->hit_us;
        }
        for (Side s = DOWN; s < SIDES; s++) {
            b->window[s] = MAX(b->window[s], o->window[s]);
        }
        o->live = false;
        p->stats.merged++;
        i = -1;                 /* it is larger now and may meet others */
    }
}

static void bubble_hit(Bubble *b, uint64_t host, Side side, int64_t now_us)
{
    uint64_t inside;

    if (side == UP) {
        b->high = MAX(b->high, host + 1);
        inside = b->high - 1 - host;
    } else {
        b->low = MIN(b->low, host);
        inside = host - b->low;
    }
    /* Never further ahead than the edge is from the guest */
    b->ahead[side] = MIN(b->ahead[side], inside);
    b->window[side] = MIN(MAX(b->window[side] * 2, HYBRID_PUSH_NEAR),
                          HYBRID_PUSH_MAX_WINDOW);
    b->hit = host;
    b->hit_us = now_us;
}

/* A pivot that is free, else that which had no hit for the longest time */
static Bubble *push_slot(HybridPush *p)
{
    Bubble *stalest = NULL;

    for (unsigned i = 0; i < HYBRID_PUSH_PIVOTS; i++) {
        Bubble *b = &p->bubbles[i];

        if (!b->live) {
            return b;
        }
        if (!stalest || b->hit_us < stalest->hit_us) {
            stalest = b;
        }
    }
    p->stats.retired++;
    return stalest;
}

static void ratio_count(HybridPush *p, bool hit)
{
    p->hit_ratio -= p->hit_ratio >> RATIO_SHIFT;
    if (hit) {
        p->hit_ratio += RATIO_ONE >> RATIO_SHIFT;
    }
}

void hybrid_push_note_fault(HybridPush *p, unsigned block, uint64_t page,
                            int64_t now_us)
{
    const HybridPushBlock *mem = &p->blocks[block];
    uint64_t host = page / mem->ratio;
    uint64_t begin = host * mem->ratio;
    bool late = next_dirty(mem, begin, begin + mem->ratio) ==
                MIN(begin + mem->ratio, mem->pages);
    Side side;
    Bubble *b = push_find(p, block, host, &side);
    bool hit = b;

    p->stats.faults++;
    p->stats.late += late;
    if (hit) {
        p->stats.hits++;
        bubble_hit(b, host, side, now_us);
    } else {
        uint32_t window = (uint64_t)HYBRID_PUSH_NEW_WINDOW * p->hit_ratio /
                          RATIO_ONE;

        b = push_slot(p);
        *b = (Bubble) {
            .live = true,
            .block = block,
            .low = host, .high = host + 1, .hit = host,
            .hit_us = now_us,
            .window = { window, window },
        };
        p->stats.begun++;
    }
    ratio_count(p, hit);
    push_merge(p, b);
}

/*
 * Move the edge to the next host page that is to be sent and return its first
 * target page.  False: there is none near; the side is done until a hit.
 */
static bool bubble_grow(HybridPush *p, Bubble *b, Side side, uint64_t *page)
{
    const HybridPushBlock *mem = &p->blocks[b->block];
    uint64_t reach = 4 * (uint64_t)b->window[side] + HYBRID_PUSH_NEAR;
    uint64_t from, to, found, host;

    if (side == UP) {
        from = b->high * mem->ratio;
        to = MIN(b->high + reach, host_pages(mem)) * mem->ratio;
        found = next_dirty(mem, from, to);
    } else {
        from = (b->low - MIN(b->low, reach)) * mem->ratio;
        to = b->low * mem->ratio;
        found = last_dirty(mem, from, to);
    }
    if (found >= MIN(to, mem->pages)) {
        b->ahead[side] = b->window[side];
        return false;
    }
    host = found / mem->ratio;
    *page = host_page_dirty(mem, found);
    b->ahead[side]++;
    if (side == UP) {
        b->high = host + 1;
    } else {
        b->low = host;
    }
    return true;
}

/* The side that is the least ahead of its guest; NULL: all are at their end */
static Bubble *push_hungriest(HybridPush *p, Side *side, int64_t now_us)
{
    Bubble *best = NULL;

    for (unsigned i = 0; i < HYBRID_PUSH_PIVOTS; i++) {
        Bubble *b = &p->bubbles[i];
        bool full = true;

        for (Side s = DOWN; b->live && s < SIDES; s++) {
            if (b->ahead[s] >= b->window[s]) {
                continue;
            }
            full = false;
            if (!best || b->ahead[s] < best->ahead[*side] ||
                (b->ahead[s] == best->ahead[*side] &&
                 b->hit_us > best->hit_us)) {
                best = b;
                *side = s;
            }
        }
        if (b->live && full && now_us - b->hit_us > RETIRE_US) {
            b->live = false;
            p->stats.retired++;
        }
    }
    return best;
}

static bool push_pick_bubble(HybridPush *p, unsigned *block, uint64_t *page,
                             int64_t now_us)
{
    Side side = UP;
    Bubble *b;

    while ((b = push_hungriest(p, &side, now_us))) {
        if (bubble_grow(p, b, side, page)) {
            *block = b->block;
            push_merge(p, b);
            return true;
        }
    }
    return false;
}

/* ---- what nobody has asked for ---- */

/* Once through all blocks: what a recovery brings back is of another kind */
static bool push_pick_recent(HybridPush *p, unsigned *block, uint64_t *page)
{
    for (; p->recent_block < p->n; p->recent_block++, p->recent_page = 0) {
        const HybridPushBlock *mem = &p->blocks[p->recent_block];
        uint64_t found;

        if (!mem->recent) {
            continue;
        }
        found = next_dirty_among(mem, mem->recent, p->recent_page, mem->pages);
        if (found < mem->pages) {
            *block = p->recent_block;
            *page = host_page_dirty(mem, found);
            /* Not past it: until it is sent it is the next one again */
            p->recent_page = found;
            return true;
        }
    }
    return false;
}

bool hybrid_push_next_recent(HybridPush *p, uint64_t most, unsigned *block,
                             uint64_t *page, uint64_t *pages)
{
    if (!push_pick_recent(p, block, page)) {
        return false;
    }
    *pages = p->blocks[*block].ratio;
    if (*pages > most) {
        return false;           /* it stays the next one */
    }
    p->stats.picked[HYBRID_PUSH_RECENT]++;
    return true;
}

static bool push_pick_heat(HybridPush *p, unsigned *block, uint64_t *page)
{
    for (; p->chunk < p->chunks->len; p->chunk++) {
        Chunk *c = &g_array_index(p->chunks, Chunk, p->chunk);
        const HybridPushBlock *mem = &p->blocks[c->block];
        uint64_t begin = c->number * p->chunk_pages;
        uint64_t end = MIN(begin + p->chunk_pages, mem->pages);
        uint64_t found = next_dirty(mem, begin, end);

        if (found < end) {
            /* A host page may begin in the chunk before */
            *block = c->block;
            *page = host_page_dirty(mem, found);
            return true;
        }
    }
    return false;
}

static bool push_pick_rest(HybridPush *p, unsigned *block, uint64_t *page)
{
    /* Once around: the first block is looked at twice, from both ends */
    for (unsigned i = 0; i <= p->n && p->n; i++) {
        const HybridPushBlock *mem = &p->blocks[p->rest_block];
        uint64_t found = next_dirty(mem, p->rest_page, mem->pages);

        if (found < mem->pages) {
            *block = p->rest_block;
            *page = host_page_dirty(mem, found);
            /* Not past it: until it is sent it is the next one again */
            p->rest_page = *page;
            return true;
        }
        p->rest_block = (p->rest_block + 1) % p->n;
        p->rest_page = 0;
    }
    return false;
}

HybridPushKind hybrid_push_next(HybridPush *p, unsigned *block, uint64_t *page,
                                int64_t now_us)
{
    HybridPushKind kind;

    if (push_pick_recent(p, block, page)) {
        kind = HYBRID_PUSH_RECENT;
    } else if (push_pick_bubble(p, block, page, now_us)) {
        kind = HYBRID_PUSH_BUBBLE;
    } else if (push_pick_heat(p, block, page)) {
        kind = HYBRID_PUSH_HEAT;
    } else if (push_pick_rest(p, block, page)) {
        kind = HYBRID_PUSH_REST;
    } else {
        kind = HYBRID_PUSH_NONE;
    }
    p->stats.picked[kind]++;
    return kind;
}

void hybrid_push_stats(const HybridPush *p, HybridPushStats *stats)
{
    *stats = p->stats;
    stats->hit_percent = (p->hit_ratio * 100ull + RATIO_ONE / 2) / RATIO_ONE;
    stats->live = stats->window = 0;
    for (unsigned i = 0; i < HYBRID_PUSH_PIVOTS; i++) {
        const Bubble *b = &p->bubbles[i];

        if (b->live) {
            stats->live++;
            stats->window = MAX(stats->window, MAX(b->window[DOWN],
                                                   b->window[UP]));
        }
    }
}
