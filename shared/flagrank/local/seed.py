"""What a deployed stack has and a new local cloud has not: bucket, table, queue and flag."""

import json
from typing import Any

from flagrank.flags.document import json_schema

# as often as the template lets a message come before it is set aside
MAX_RECEIVES = 10

# the alarm's name is the template's; the stand-in is told whether it rings
MONITOR_ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:{}-FlagMonitor"


def create_bucket(s3: Any, bucket: str) -> None:
    """The factors' bucket, versioned."""
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def create_table(dynamodb: Any, table: str) -> None:
    """The scores' table, on demand, with its TTL attribute."""
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    ttl = {"Enabled": True, "AttributeName": "expires_at"}
    dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=ttl)


def create_queue(sqs: Any, name: str, visibility_s: int) -> tuple[str, str]:
    """The queue of tasks with its dead-letter queue; gives its address and its ARN."""
    dead_url = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    dead = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": MAX_RECEIVES})
    attributes = {"VisibilityTimeout": str(visibility_s), "RedrivePolicy": redrive}
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, arn


def create_flag_profile(appconfig: Any, application: str, environment: str, profile: str) -> None:
    """The flag's application, environment and profile, whose validator refuses what the function would refuse."""
    application_id = appconfig.create_application(Name=application)["Id"]
    appconfig.create_environment(
        ApplicationId=application_id, Name=environment, Monitors=[{"AlarmArn": MONITOR_ARN.format(application)}]
    )
    appconfig.create_configuration_profile(
        ApplicationId=application_id,
        Name=profile,
        LocationUri="hosted",
        Validators=[{"Type": "JSON_SCHEMA", "Content": json.dumps(json_schema())}],
    )
