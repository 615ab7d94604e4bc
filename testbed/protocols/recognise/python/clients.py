# SPDX-License-Identifier: Apache-2.0
"""clients.py KIND PORT COUNT THREADS PREFIX [WAIT]: does COUNT rounds in so many threads.

It prints a JSON object per operation that was done: Token is in its URL or, of GraphQL,
in the name of the operation too, Span the span's name, and Attributes what is to be on
it. Operations with the same token follow one another. Plain ones are to stay HTTP.
"""
import json
import sys
import threading

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
KEY = "AKIAIOSFODNN7EXAMPLE"

lock = threading.Lock()


def did(token, span, **attributes):
    attributes = {k.replace("__", "."): str(v) for k, v in attributes.items()}
    with lock:
        print(json.dumps({"Token": token, "Span": span, "Attributes": attributes}), flush=True)


def search(kind, port):
    system = "elasticsearch" if kind == "elasticsearch" else "opensearch"
    if kind == "elasticsearch":
        from elasticsearch import Elasticsearch, NotFoundError

        client = Elasticsearch(f"http://127.0.0.1:{port}", max_retries=0)
        body = lambda b: b
    else:
        from opensearchpy import NotFoundError, OpenSearch

        client = OpenSearch([{"host": "127.0.0.1", "port": port}], max_retries=0)
        body = lambda b: {"body": b}

    def ok(token, name, status=200, index=True, **more):
        attributes = {"db__system__name": system, "db__operation__name": name, "db__response__status_code": status,
                      "db__collection__name": token if index else "", "db__operation__parameter__index": token,
                      "http__response__status_code": status, "server__address": "127.0.0.1", "server__port": port,
                      "db__query__text": ""}
        did(token, f"{name} {token}", **(attributes | more))

    def round(token):
        # An older server tells itself by its answers only, and this one says nothing.
        if kind != "older":
            client.indices.create(index=token)
            ok(token, "indices.create")
            assert client.exists(index=token, id="1")
            ok(token, "exists", db__operation__parameter__id="1")
        document = {"text": "secret " + token}
        if kind == "elasticsearch":
            client.index(index=token, id="a/b", document=document)
            client.search(index=token, query={"match": document})
            client.update(index=token, id="1", doc=document)
            client.bulk(index=token, operations=[{"index": {"_id": "1"}}, document])
            client.mget(index=token, ids=["1"])
        else:
            client.index(index=token, id="a/b", body=document)
            client.search(index=token, body={"query": {"match": document}})
            client.update(index=token, id="1", body={"doc": document})
            client.bulk(index=token, body=[{"index": {"_id": "1"}}, document])
            client.mget(index=token, body={"ids": ["1"]})
        ok(token, "index", 201, db__operation__parameter__id="a/b")
        ok(token, "search")
        ok(token, "update", db__operation__parameter__id="1")
        ok(token, "bulk")
        ok(token, "mget")
        client.get(index=token, id="1")
        ok(token, "get", db__operation__parameter__id="1")
        try:
            client.get(index=token, id="missing")
        except NotFoundError:
            ok(token, "get", 404, db__operation__parameter__id="missing")
        client.count(index=token)
        ok(token, "count")
        client.indices.refresh(index=token)
        ok(token, "indices.refresh")
        client.cluster.health(index=token)
        ok(token, "cluster.health")
        if kind != "older":
            client.cat.indices(index=token, format="json")
            ok(token, "cat.indices")
        client.delete(index=token, id="1")
        ok(token, "delete", db__operation__parameter__id="1")

    return round


def s3(_, port):
    import boto3
    import requests
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import ClientError

    options = dict(endpoint_url=f"http://127.0.0.1:{port}", region_name="eu-west-1")
    retries = {"total_max_attempts": 1}
    c = boto3.client("s3", aws_access_key_id=KEY, aws_secret_access_key=SECRET,
                     config=Config(retries=retries, max_pool_connections=100, signature_version="s3v4"), **options)
    open_client = boto3.client("s3", config=Config(signature_version=UNSIGNED, retries=retries, max_pool_connections=100), **options)

    def ok(token, name, key="", status=200, **more):
        attributes = {"rpc__system__name": "aws-api", "rpc__method": "S3/" + name, "aws__s3__bucket": token, "aws__s3__key": key,
                      "cloud__region": "eu-west-1", "aws__extended_request_id": "aWQy", "http__response__status_code": status,
                      "aws__s3__part_number": "", "aws__s3__upload_id": "", "aws__s3__copy_source": ""}
        did(token, "S3." + name, **(attributes | more))

    def ident(response):
        return {"aws__request_id": response["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]}

    def round(token):
        r = c.create_bucket(Bucket=token, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        ok(token, "CreateBucket", **ident(r))
        c.head_bucket(Bucket=token)
        ok(token, "HeadBucket")
        r = c.put_object(Bucket=token, Key="a dir/k+1", Body=b"x" * 70000)
        ok(token, "PutObject", "a dir/k+1", **ident(r))
        r = c.get_object(Bucket=token, Key="a dir/k+1")
        assert len(r["Body"].read()) == 70000
        ok(token, "GetObject", "a dir/k+1", **ident(r))
        c.copy_object(Bucket=token, Key="copy", CopySource={"Bucket": token, "Key": "a dir/k+1"})
        ok(token, "CopyObject", "copy", aws__s3__copy_source=token + "/a dir/k+1")
        c.head_object(Bucket=token, Key="copy")
        ok(token, "HeadObject", "copy")
        try:
            c.get_object(Bucket=token, Key="none")
        except ClientError:
            ok(token, "GetObject", "none", 404)
        c.put_object_tagging(Bucket=token, Key="copy", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
        ok(token, "PutObjectTagging", "copy")
        c.list_objects_v2(Bucket=token, Prefix="")
        ok(token, "ListObjectsV2")
        c.list_objects(Bucket=token)
        ok(token, "ListObjects")
        c.get_bucket_location(Bucket=token)
        ok(token, "GetBucketLocation")
        upload = c.create_multipart_upload(Bucket=token, Key="big")["UploadId"]
        ok(token, "CreateMultipartUpload", "big")
        part = c.upload_part(Bucket=token, Key="big", UploadId=upload, PartNumber=1, Body=b"y" * 1000)
        ok(token, "UploadPart", "big", aws__s3__part_number=1, aws__s3__upload_id=upload)
        c.list_parts(Bucket=token, Key="big", UploadId=upload)
        ok(token, "ListParts", "big", aws__s3__upload_id=upload)
        c.complete_multipart_upload(Bucket=token, Key="big", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
        ok(token, "CompleteMultipartUpload", "big", aws__s3__upload_id=upload)
        url = c.generate_presigned_url("get_object", Params={"Bucket": token, "Key": "big"})
        assert requests.get(url).status_code == 200
        ok(token, "GetObject", "big")
        open_client.list_objects_v2(Bucket=token)
        did(token, "GET", rpc__method="", aws__s3__bucket="", http__response__status_code=200)
        c.delete_objects(Bucket=token, Delete={"Objects": [{"Key": "big"}, {"Key": "copy"}]})
        ok(token, "DeleteObjects")
        c.delete_object(Bucket=token, Key="a dir/k+1")
        ok(token, "DeleteObject", "a dir/k+1", 204)
        c.delete_bucket(Bucket=token)
        ok(token, "DeleteBucket", status=204)

    return round


def graphql(kind, port):
    import requests
    from gql import Client, GraphQLRequest
    from gql.transport.exceptions import TransportQueryError

    def transport(token):
        url = f"http://127.0.0.1:{port}/graphql?t={token}"
        if kind == "graphql2":
            from gql.transport.httpx import HTTPXTransport

            return HTTPXTransport(url=url, http1=False, http2=True)
        from gql.transport.requests import RequestsHTTPTransport

        return RequestsHTTPTransport(url=url)

    def ok(token, operation, name, **more):
        attributes = {"graphql__operation__type": operation, "graphql__operation__name": name, "graphql__document": "",
                      "http__response__status_code": 200, "network__protocol__version": "2" if kind == "graphql2" else "1.1"}
        did(token, "POST", **(attributes | more))

    def round(token):
        with Client(transport=transport(token)) as session:
            session.execute(GraphQLRequest("query Q%s($name: String!) { hello(name: $name) }" % token, variable_values={"name": SECRET}))
            ok(token, "query", "Q" + token)
            session.execute(GraphQLRequest("mutation M%s { add(name: \"%s\") }" % (token, "long " * 1000)))
            ok(token, "mutation", "M" + token)
            session.execute(GraphQLRequest("{ hello }"))
            ok(token, "query", "")
            session.execute(GraphQLRequest("query A { hello } mutation B%s { add(name: \"x\") }" % token, operation_name="B" + token))
            ok(token, "mutation", "B" + token)
            try:
                session.execute(GraphQLRequest("query E%s { nonsense }" % token))
            except TransportQueryError:
                ok(token, "query", "E" + token)
        if kind == "graphql":
            r = requests.get(f"http://127.0.0.1:{port}/graphql", params={"t": token, "query": "query G%s { hello }" % token})
            assert r.status_code == 200, r.text
            did(token, "GET", graphql__operation__type="query", graphql__operation__name="G" + token, graphql__document="")
            requests.post(f"http://127.0.0.1:{port}/graphql?t={token}", json={"query": "hello"})
            did(token, "POST", graphql__operation__type="", graphql__operation__name="")

    return round


def plain(_, port):
    import requests

    session = requests.Session()

    def round(token):
        for method, path, body in [
            ("GET", f"/{token}/_all_docs", None), ("POST", f"/{token}/_bulk_docs", {"docs": []}), ("GET", f"/{token}/_doc/1", None),
            ("GET", f"/api/search?q={token}", None), ("POST", f"/{token}/_search", {"query": {"match_all": {}}}),
            ("POST", f"/api/{token}", {"query": "query A { a }"}), ("POST", f"/graphql?t={token}", {"query": "query builder tips"}),
        ]:
            session.request(method, f"http://127.0.0.1:{port}{path}", json=body)
            did(token, method, db__system__name="", rpc__method="", graphql__operation__type="")

    return round


def main():
    kind, port, count, threads, prefix = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    make = {"elasticsearch": search, "opensearch": search, "older": search, "s3": s3, "graphql": graphql, "graphql2": graphql, "plain": plain}[kind]
    round = make(kind, port)
    numbers = iter(range(count))
    failures = []

    def run():
        try:
            own = make(kind, port) if kind == "plain" else round
            while True:
                with lock:
                    n = next(numbers, None)
                if n is None:
                    return
                own(f"tok{prefix}{n}x")
        except BaseException as e:
            failures.append(e)
            raise

    workers = [threading.Thread(target=run) for _ in range(threads)]
    [w.start() for w in workers]
    [w.join() for w in workers]
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
