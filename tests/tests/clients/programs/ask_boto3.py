"""Signed requests: without a body, with one that ends in a checksum, and with one whose digest is in no header."""

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

config = Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
where = {"endpoint_url": sys.argv[1], "region_name": "us-east-1", "config": config}
s3 = boto3.client("s3", **where)
try:
    print("buckets", len(s3.list_buckets()["Buckets"]))
    s3.put_object(Bucket="bucket", Key="a key/with+é", Body=b"the object")
    print("tables", boto3.client("dynamodb", **where).list_tables()["TableNames"])
except ClientError as error:
    print(error.response)
