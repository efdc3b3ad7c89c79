//! Puts the API's description together: routes, the text for each, the wire types' schemas, and the errors that all
//! of them share.

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use secrets_proto::ErrorBody;
use secretsd::Access;
use serde_json::{Map, Value, json};

use super::errors;

/// The description of one route.
pub(super) struct Documented {
    pub(super) operation: &'static str,
    summary: &'static str,
    parameters: Vec<Parameter>,
    body: Option<(Type, Value)>,
    needs_body: bool,
    answers: Vec<Answer>,
    errors: Vec<u16>,
}

/// A type's schema, made once there is a generator.
type Type = fn(&mut SchemaGenerator) -> Value;

/// A parameter in the query or a header.
#[derive(Clone)]
pub(super) struct Parameter(Value);

struct Answer {
    status: u16,
    description: &'static str,
    headers: Vec<(&'static str, bool)>,
    content: Content,
}

enum Content {
    None,
    Binary,
    Fixed(Value),
    Json(Vec<Type>),
}

/// A route without anything but its operationId and what it does.
pub(super) fn op(operation: &'static str, summary: &'static str) -> Documented {
    Documented {
        operation,
        summary,
        parameters: vec![],
        body: None,
        needs_body: true,
        answers: vec![],
        errors: vec![],
    }
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

impl Parameter {
    pub(super) fn query(name: &str, description: &str, schema: Value) -> Self {
        Self(json!({ "name": name, "in": "query", "description": description, "schema": schema }))
    }

    pub(super) fn header(name: &str, description: &str, schema: Value) -> Self {
        Self(json!({ "name": name, "in": "header", "description": description, "schema": schema }))
    }

    pub(super) fn required(mut self) -> Self {
        self.0["required"] = json!(true);
        self
    }
}

impl Documented {
    /// Takes this optional parameter.
    pub(super) fn takes(mut self, parameter: &Parameter) -> Self {
        self.parameters.push(parameter.clone());
        self
    }

    /// Takes a JSON body like the example.
    pub(super) fn body<T: JsonSchema>(self, example: Value) -> Self {
        Self { body: Some((schema::<T>, example)), ..self }
    }

    /// May have a JSON body like the example.
    pub(super) fn may_have_body<T: JsonSchema>(self, example: Value) -> Self {
        Self { needs_body: false, ..self.body::<T>(example) }
    }

    /// Answers so.
    pub(super) fn replies<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.answer(status, description, Content::Json(vec![schema::<T>]))
    }

    /// Answers with one of the two.
    pub(super) fn replies_either<A: JsonSchema, B: JsonSchema>(
        self,
        status: u16,
        description: &'static str,
    ) -> Self {
        self.answer(status, description, Content::Json(vec![schema::<A>, schema::<B>]))
    }

    /// Answers with JSON that has no wire type.
    pub(super) fn fixed(self, status: u16, description: &'static str, schema: Value) -> Self {
        self.answer(status, description, Content::Fixed(schema))
    }

    /// Answers without a body.
    pub(super) fn empty(self, status: u16, description: &'static str) -> Self {
        self.answer(status, description, Content::None)
    }

    /// Answers with bytes.
    pub(super) fn binary(self, status: u16, description: &'static str) -> Self {
        self.answer(status, description, Content::Binary)
    }

    /// The last answer always has this header.
    pub(super) fn with(mut self, header: &'static str) -> Self {
        self.answers.last_mut().unwrap().headers.push((header, true));
        self
    }

    /// The last answer has this header now and then.
    pub(super) fn may_have(mut self, header: &'static str) -> Self {
        self.answers.last_mut().unwrap().headers.push((header, false));
        self
    }

    /// Fails with these codes, beside those that its method, path and scope bring with them.
    pub(super) fn fails(mut self, codes: &[u16]) -> Self {
        self.errors.extend(codes);
        self
    }

    fn answer(mut self, status: u16, description: &'static str, content: Content) -> Self {
        self.answers.push(Answer { status, description, headers: vec![], content });
        self
    }
}

/// The whole description. `routes` is the daemon's table; each needs an entry in `operations`, and the other way round.
pub(super) fn document(
    routes: impl Iterator<Item = secretsd::RouteInfo>,
    mut operations: Vec<Documented>,
) -> Result<Value, String> {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut requests = settings().into_generator();
    let mut replies = settings().for_serialize().into_generator();
    let mut paths = Map::new();
    for route in routes {
        let place = operations.iter().position(|said| said.operation == route.operation);
        let place = place.ok_or(format!(
            "`{}` ({} {}) is not described: give it an entry in tests/tests/openapi/operations.rs",
            route.operation, route.method, route.path
        ))?;
        let said = operations.swap_remove(place);
        let path = paths.entry(route.path).or_insert_with(|| {
            if route.path.contains("{id}") {
                json!({ "parameters": [{ "$ref": "#/components/parameters/id" }] })
            } else {
                json!({})
            }
        });
        path[route.method.to_ascii_lowercase()] = operation(&route, said, &mut requests, &mut replies);
    }
    if let Some(left) = operations.first() {
        return Err(format!("`{}` is described and no route", left.operation));
    }
    // What only parameters and errors refer to.
    schema::<secrets_proto::Provider>(&mut requests);
    schema::<secrets_proto::Glob>(&mut requests);
    schema::<secrets_proto::SecretName>(&mut requests);
    schema::<secrets_proto::Timestamp>(&mut requests);
    schema::<ErrorBody>(&mut replies);
    let mut schemas = replies.take_definitions(true);
    for (name, schema) in requests.take_definitions(true) {
        if schemas.get(&name).is_some_and(|other| *other != schema) {
            return Err(format!("`{name}` looks one way in requests and another in replies"));
        }
        schemas.insert(name, schema);
    }
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "secretsd",
            "version": secrets_proto::API_VERSION,
            "license": { "name": "MIT OR Apache-2.0" },
            "description": "Secrets in an encrypted vault, over HTTP/1.1 on a Unix socket. Lists and descriptions hold masks; values leave only by `reveal_secrets`. Every answer has an `X-Request-Id`; every error has the same envelope, whose `code` is the status and which never holds anything that was sent. A known path with another method is a 404 with `Allow`; bytes that are not HTTP get a bare 400 or 431.",
        },
        "servers": [{ "url": "http://localhost", "description": "The Unix socket; `Host` is `localhost` or a loopback address." }],
        "security": [],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "A token: the owner's, which the daemon writes beside its socket at each start, or one with scopes of its own." },
                "api_key": { "type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same token in another header." },
            },
            "parameters": {
                "id": { "name": "id", "in": "path", "required": true, "description": "A UUID with hyphens, in either case.", "schema": { "type": "string", "format": "uuid" } },
                "client": { "name": "X-Secretsd-Client", "in": "header", "description": "What the caller runs for, where the daemon cannot see it: form-encoded `program`, `script`, `directory` and `command`, each an absolute path, at most 2048 bytes. It is shown to the person who answers asks.", "schema": { "type": "string", "maxLength": 2048, "pattern": "^(program|script|directory|command)=/[A-Za-z0-9_./-]{0,200}$" } },
                "api_version": { "name": "X-Secretsd-Api", "in": "header", "description": "The version of the API that the caller speaks; another than the daemon's is refused with 426.", "schema": { "const": secrets_proto::API_VERSION } },
            },
            "headers": headers(),
            "responses": errors::responses(),
            "schemas": schemas,
        },
    }))
}

fn operation(
    route: &secretsd::RouteInfo,
    said: Documented,
    requests: &mut SchemaGenerator,
    replies: &mut SchemaGenerator,
) -> Value {
    // Callers that have no place: a browser's headers, another version, too many connections, a bug, a deadline.
    let mut codes = vec![400, 403, 426, 429, 500, 504];
    codes.extend(&said.errors);
    let mut parameters: Vec<Value> = said.parameters.into_iter().map(|parameter| parameter.0).collect();
    parameters.push(json!({ "$ref": "#/components/parameters/api_version" }));
    let (security, who) = match route.access {
        Access::Open => (json!([]), "Needs no token.".to_owned()),
        Access::Token => (json!([{ "bearer": [] }, { "api_key": [] }]), "Needs any token.".to_owned()),
        Access::Either(one, other) => (
            json!([{ "bearer": [one] }, { "api_key": [one] }, { "bearer": [other] }, { "api_key": [other] }]),
            format!("Needs a token with the scope `{one}` or `{other}`."),
        ),
        Access::Scope(scope) => (
            json!([{ "bearer": [scope] }, { "api_key": [scope] }]),
            format!("Needs a token with the scope `{scope}`."),
        ),
    };
    if route.access != Access::Open {
        parameters.push(json!({ "$ref": "#/components/parameters/client" }));
        codes.extend([401, 422]);
    }
    if route.path.contains("{id}") {
        codes.push(404);
    }
    let mut responses = Map::new();
    for answer in said.answers {
        responses.insert(answer.status.to_string(), response(answer, replies));
    }
    codes.sort_unstable();
    codes.dedup();
    for code in codes {
        responses.insert(code.to_string(), json!({ "$ref": format!("#/components/responses/{code}") }));
    }
    let mut operation = json!({
        "operationId": said.operation,
        "summary": said.summary,
        "description": who,
        "security": security,
        "parameters": parameters,
        "responses": responses,
    });
    if let Some((schema, example)) = said.body {
        operation["requestBody"] = json!({
            "required": said.needs_body,
            "content": { "application/json": { "schema": schema(requests), "example": example } },
        });
    }
    operation
}

fn response(answer: Answer, replies: &mut SchemaGenerator) -> Value {
    let mut headers = Map::new();
    headers.insert("X-Request-Id".into(), header("X-Request-Id"));
    for (name, always) in answer.headers {
        let always = if always { header(name) } else { header(&format!("{name}-optional")) };
        headers.insert(name.into(), always);
    }
    let mut response = json!({ "description": answer.description, "headers": headers });
    let (kind, schema) = match answer.content {
        Content::None => return response,
        Content::Binary => ("application/octet-stream", json!({})),
        Content::Fixed(schema) => ("application/json", schema),
        Content::Json(types) => {
            let mut schemas: Vec<Value> = types.into_iter().map(|schema| schema(replies)).collect();
            let schema = if schemas.len() == 1 { schemas.remove(0) } else { json!({ "anyOf": schemas }) };
            ("application/json", schema)
        }
    };
    response["content"] = json!({ kind: { "schema": schema } });
    response
}

/// A header that is described once.
pub(super) fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

fn headers() -> Value {
    let text = |description: &str| json!({ "description": description, "required": true, "schema": { "type": "string" } });
    let optional = |mut header: Value| {
        header["required"] = json!(false);
        header
    };
    let tag =
        text("Stands for what was answered; `If-None-Match` and, for one secret, `If-Match` compare it.");
    json!({
        "X-Request-Id": { "description": "The daemon's id of this request, which its log line has too.", "required": true, "schema": { "type": "string", "pattern": "^[0-9a-f]{24}$" } },
        "ETag": tag,
        "ETag-optional": optional(tag.clone()),
        "Location": { "description": "The path of what was made.", "required": true, "schema": { "type": "string", "pattern": "^/api/v1/" } },
        "Retry-After": { "description": "Seconds to wait.", "required": true, "schema": { "type": "integer", "minimum": 1 } },
        "WWW-Authenticate": { "description": "How to authenticate.", "required": true, "schema": { "const": "Bearer" } },
        "Upgrade": text("What the daemon speaks: `HTTP/1.1`, or `secretsd-api/1`."),
        "X-Secretsd-Approval": optional(text("The id of the ask that waits for a person, if the type is `approval_required_error`.")),
        "Allow": optional(text("The methods of this path, when another was used.")),
    })
}
