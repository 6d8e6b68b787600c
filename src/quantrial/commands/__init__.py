"""One public function a command: the command line parses, calls one of these, and prints.

- `studies`: `init`, `plan`, `run`, `demo`, `import_reference`
- `results`: `analyze`, `decide`, `report`, `export`, `verify`
- `verification`: how `verify` goes about it
- `derived`: what follows from a run folder; everything below reads it there
- `comparison`: `compare`, several runs beside each other
- `power`: how many items a study needs, and what it would show
- `provision`: models to fetch, `quantize`

`quantrial` exports them. Here is the only place where the folders of the package meet.
"""
