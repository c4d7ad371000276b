"""Exact nearest-neighbour search: fast products with proven error bounds leave few keys, float64 orders them.

`index` is the door, `pooled` that of many pools. `vectors` and `metric` check what is given; `pool` keeps each
different vector once. Then a query takes the first of these ways that proves its answer:

1. `bytewise`, where the processor has the instruction: integer products (`vnni`) of vectors rounded to bytes (`bytes`)
   fill lists, which float32 differences shorten (`lists`). Pools of few keys: `strips`, product and lists in one call.
2. `tiles`: the crowd around the query (`crowds`), if earlier queries have taught one; else float32 matrix products
   (`panels`) and the keys that their bounds leave (`shortlist`); else a crowd that is taught now, or a longer list.
3. `scan`: the float64 score of every vector.

`rank` writes the rows of 1 and 2 in float64 order, and computes float64 scores only where bounds overlap. On a GPU
`device` does the same in torch, with `device_pool`, `device_side`, `device_order`, `device_copies` and `precision`.
"""
