"""What the sandbox knows of the brand of the measurements."""

SEGMENT_KEY, STACK, ANTAVO_KEY = "bench-write-key", "st1", "bench-api-key"
KNOWN = {
    "segment": [
        {
            "id": "w1",
            "slug": "bench",
            "name": "Bench",
            "sources": [{"id": "s1", "slug": "shop", "writeKeys": [SEGMENT_KEY]}],
        }
    ],
    "antavo": {STACK: ANTAVO_KEY},
}
