"""A store in an S3 bucket; the only home of boto3."""
