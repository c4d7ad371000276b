"""How fast views and the readers of others give windows: what `stage=bench_loading` measures."""
