"""What the sandbox knows of the brand of the measurements, and what is mapped there, by us and by the peers alike."""

from tests.published import subscription

SEGMENT_KEY, STACK, ANTAVO_KEY = "bench-write-key", "st1", "bench-api-key"
QUALTRICS_TOKEN, POOL, LIST = "bench-token", "POOL_bench", "CG_bench"
DIRECTORY = {"id": POOL, "rules": [["externalDataReference"]], "lists": [{"id": LIST}]}
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
    "qualtrics": [{"token": QUALTRICS_TOKEN, "directories": [DIRECTORY]}],
}
LOYALTY = subscription("antavo", "event", action="checkout", data={"@path": "$.properties"})
CONTACT = subscription("qualtrics", "addContactToXmd", directoryId=POOL, embeddedData={"@path": "$.traits"})
TRANSACTION = subscription(
    "qualtrics",
    "upsertContactTransaction",
    **{"directoryId": POOL, "mailingListId": LIST, "transactionData": {"@path": "$.properties"}},
)
