"""A ramp's lease in DynamoDB: one item in the scores' table, taken and renewed by conditional writes."""

from typing import Any

from flagrank.adapters.aws_errors import aws_errors
from flagrank.delivery.lease import Lease
from flagrank.errors import CloudError
from flagrank.ports import Clock

ATTEMPTS = 3
# TTL deletes days late, so whoever reads looks at the time too
FREE = "attribute_not_exists(pk) OR expires_at <= :now OR holder = :holder"


class DynamoDBLeases:
    """The lease of one flag, in a table with the partition key `pk` and the TTL attribute `expires_at`.

    `flag` names the flag: application, environment and profile.
    """

    def __init__(self, client: Any, table: str, flag: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._key = {"pk": {"S": f"lease#ramp#{flag}"}}
        self._clock = clock

    def current(self) -> Lease | None:
        """See LeaseStore."""
        with aws_errors():
            found = self._client.get_item(TableName=self._table, Key=self._key, ConsistentRead=True).get("Item")
        if found is None:
            return None
        lease = _lease_of(found)
        return lease if lease.expires_s > self._clock.now() else None

    def take(self, lease: Lease, *, over: bool = False) -> Lease | None:
        """See LeaseStore."""
        item = {
            **self._key,
            "holder": {"S": lease.holder},
            "actor": {"S": lease.actor},
            "ramp": {"S": lease.ramp},
            "host": {"S": lease.host},
            "process": {"N": str(lease.pid)},
            "expires_at": {"N": str(lease.expires_s)},
        }
        condition = {
            "ConditionExpression": FREE,
            "ExpressionAttributeValues": {":now": {"N": str(int(self._clock.now()))}, ":holder": {"S": lease.holder}},
        }
        for _ in range(ATTEMPTS):
            with aws_errors():
                try:
                    self._client.put_item(TableName=self._table, Item=item, **({} if over else condition))
                except self._client.exceptions.ConditionalCheckFailedException:
                    other = self.current()
                else:
                    return None
            if other is not None:
                return other
            # it was given up in between
        raise CloudError("others keep taking the ramp's lease and giving it up")

    def release(self, holder: str) -> None:
        """See LeaseStore."""
        with aws_errors():
            try:
                self._client.delete_item(
                    TableName=self._table,
                    Key=self._key,
                    ConditionExpression="holder = :holder",
                    ExpressionAttributeValues={":holder": {"S": holder}},
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return


def _lease_of(item: dict[str, Any]) -> Lease:
    try:
        return Lease(
            holder=item["holder"]["S"],
            actor=item["actor"]["S"],
            ramp=item["ramp"]["S"],
            host=item["host"]["S"],
            pid=int(item["process"]["N"]),
            expires_s=int(item["expires_at"]["N"]),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise CloudError(f"the ramp's lease is not as this release writes it: {error!r}") from error
