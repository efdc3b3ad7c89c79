"""A signed request."""

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

config = Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
client = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", config=config)
try:
    client.list_buckets()
    print("answered")
except ClientError as error:
    print("status", error.response["ResponseMetadata"]["HTTPStatusCode"])
    print(error.response["ResponseMetadata"]["HTTPHeaders"].get("x-secretsd-denied"))
