use serde_json::json;

use super::*;

/// The client of these models, without the runtime.
fn printed(models: &Value) -> String {
    let metadata = json!({"version": 1, "modeller": "0.0.0", "models": models});
    let metadata: Metadata = serde_json::from_value(metadata).unwrap();
    let client = typescript(&metadata);
    client.strip_suffix(RUNTIME).unwrap().to_owned()
}

fn model(id: &str, schema: &Value) -> Value {
    let fields = schema["properties"].as_object().into_iter().flatten().map(|(name, schema)| {
        let says = |word: &str| schema[word] == true;
        json!({"name": name, "unique": says("unique"), "index": false, "private": says("private"),
               "protected": says("protected"), "schema": schema})
    });
    let fields: Vec<Value> = fields.collect();
    json!({"id": id, "access": "public", "fields": fields, "schema": schema, "operations": [], "events": []})
}

/// The lines of a declaration, joined.
fn declaration(client: &str, name: &str) -> String {
    let is_it = |line: &&str| {
        line.starts_with(&format!("export interface {name} ")) || line.starts_with(&format!("export type {name} "))
    };
    let lines: Vec<&str> = client.lines().skip_while(|line| !is_it(line)).collect();
    assert!(!lines.is_empty(), "there is no `{name}` in\n{client}");
    let is_one = lines[0].ends_with(';');
    let end = lines.iter().position(|line| *line == "}").unwrap_or(0);
    let all = if is_one { &lines[..1] } else { &lines[..=end] };
    all.iter().map(|line| line.trim()).filter(|line| !line.starts_with(['/', '*'])).collect::<Vec<_>>().join(" ")
}

fn of(schema: &Value) -> String {
    let schema = json!({"title": "It", "type": "object", "properties": {"a": schema}, "required": ["a"],
                        "additionalProperties": false, "$defs": {
        "Tree": {"type": "object", "properties": {"name": {"type": "string"}, "below": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}, "required": ["name", "below"]},
        "a/b c": {"type": "integer"},
    }});
    let text = declaration(&printed(&json!([model("its", &schema)])), "It");
    text.strip_prefix("export interface It extends Key { readonly a: ").unwrap().strip_suffix("; }").unwrap().to_owned()
}

#[test]
fn schemas_are_types() {
    for (schema, expected) in [
        (json!({"type": "string", "format": "email"}), "string"),
        (json!({"type": "integer"}), "number"),
        (json!({"type": ["boolean", "null"]}), "boolean | null"),
        (json!({}), "unknown"),
        (json!(true), "unknown"),
        (json!({"const": "x\"y`${z}"}), r#""x\"y`${z}""#),
        (json!({"enum": ["a", 1, null, true]}), r#""a" | 1 | null | true"#),
        (json!({"type": "array", "items": {"type": ["string", "null"]}}), "(string | null)[]"),
        (json!({"type": "array"}), "unknown[]"),
        (
            json!({"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}], "minItems": 1, "items": false}),
            "[string, number?]",
        ),
        (
            json!({"type": "array", "prefixItems": [{"type": "string"}], "minItems": 1, "items": {"type": "number"}}),
            "[string, ...number[]]",
        ),
        (json!({"type": "object", "additionalProperties": {"type": "number"}}), "{ readonly [name: string]: number }"),
        (json!({"type": "object"}), "{ readonly [name: string]: unknown }"),
        (
            json!({"type": "object", "additionalProperties": {"type": "number"}, "propertyNames": {"enum": ["x", "y"]}}),
            r#"{ readonly [name in "x" | "y"]?: number }"#,
        ),
        (
            json!({"type": "object", "properties": {"x-y": {"type": "number"}, "z": {"type": "null"}}, "required": ["z"]}),
            r#"{ readonly "x-y"?: number; readonly z: null }"#,
        ),
        (json!({"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]}), "Tree | null"),
        (json!({"$ref": "#/$defs/a~1b%20c", "description": "beside it"}), "ABC"),
        (json!({"$ref": "#/$defs/nowhere"}), "unknown"),
        (json!({"$ref": "https://example.com/other"}), "unknown"),
        (
            json!({"oneOf": [{"type": "object", "properties": {"kind": {"const": "one"}}, "required": ["kind"]},
                          {"type": "object", "properties": {"kind": {"const": "two"}, "n": {"type": "number"}}, "required": ["kind", "n"]}]}),
            r#"{ readonly kind: "one" } | { readonly kind: "two"; readonly n: number }"#,
        ),
        (
            json!({"allOf": [{"$ref": "#/$defs/Tree"}, {"type": "object", "properties": {"n": {"type": "number"}}}]}),
            "Tree & { readonly n?: number }",
        ),
        (
            json!({"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"],
                "anyOf": [{"required": ["x"]}, {"required": ["y"]}]}),
            "{ readonly x: number }",
        ),
    ] {
        assert_eq!(of(&schema), expected, "{schema}");
    }
}

#[test]
fn what_is_read_and_what_is_written_are_two_types() {
    let schema = json!({
        "title": "User", "type": "object", "additionalProperties": false, "required": ["email", "password", "home"],
        "properties": {
            "email": {"type": "string", "unique": true}, "password": {"type": "string", "private": true},
            "salary": {"type": "number", "protected": true, "default": 0}, "age": {"type": "integer", "default": 18},
            "home": {"$ref": "#/$defs/Home"}, "tags": {"type": "array", "items": {"type": "string"}},
        },
        "$defs": {"Home": {"type": "object", "properties": {"town": {"type": "string"}, "key": {"type": "string", "private": true}}, "required": ["town", "key"]}},
    });
    let client = printed(&json!([model("users", &schema)]));
    let user = "export interface User extends Key { readonly email: string; readonly salary?: number; readonly age: number; readonly home: Home; readonly tags?: string[]; }";
    assert_eq!(declaration(&client, "User"), user);
    assert_eq!(declaration(&client, "Home"), "export interface Home { readonly town: string; }");
    assert_eq!(
        declaration(&client, "HomeInput"),
        "export interface HomeInput { readonly town: string; readonly key: string; }"
    );
    let insert = "export interface UserInsert { readonly email: string; readonly password: string; readonly salary?: number; readonly age?: number; readonly home: HomeInput; readonly tags?: readonly string[]; }";
    assert_eq!(declaration(&client, "UserInsert"), insert);
    let patch = "export interface UserPatch extends NoOperators { readonly email?: string; readonly password?: string; readonly salary?: number | null; readonly age?: number | null; readonly home?: HomePatch; readonly tags?: readonly string[] | null; }";
    assert_eq!(declaration(&client, "UserPatch"), patch);
    let filter = declaration(&client, "UserFilter");
    assert!(filter.contains(r#"readonly "home.town"?: string | TextTest<string>;"#), "{filter}");
    assert!(
        filter.contains(
            "readonly tags?: readonly string[] | null | string | TextListTest<readonly string[] | null, string>;"
        ),
        "{filter}"
    );
    for hidden in ["password", "key"] {
        assert!(!filter.contains(hidden), "{hidden} is in {filter}");
        assert!(!declaration(&client, "UserPath").contains(hidden), "{hidden} is a path");
    }
    let problem = declaration(&client, "UserProblem");
    for place in [r#""/password""#, r#""/home/key""#, "`/tags/${number}`"] {
        assert!(problem.contains(place), "{place} is not in {problem}");
    }
}

#[test]
fn names_are_identifiers_and_no_two_are_the_same() {
    let named = |title: &str| json!({"title": title, "type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false});
    let client = printed(&json!([
        model("users", &named("User")),
        model("admins", &named("User")),
        model("promises", &named("Promise")),
        model("my-things", &named("not a name")),
        model("close", &named("Door")),
        model("system.ssh", &named("Ssh")),
    ]));
    for name in ["User", "User2", "Promise_", "MyThings", "UserInsert", "User2Insert", "Door"] {
        declaration(&client, name);
    }
    let reached = declaration(&client, "Client");
    for member in [
        "readonly users: UsersModel;",
        r#"readonly "my-things": MyThingsModel;"#,
        "readonly system: { readonly ssh: SystemSshModel };",
    ] {
        assert!(reached.contains(member), "{member} is not in {reached}");
    }
    // What the client itself has is not covered by a model, which is reached by its id.
    assert!(!reached.contains("CloseModel"), "{reached}");
    assert!(declaration(&client, "Models").contains(r#"readonly "close": CloseModel;"#));
}

#[test]
fn types_that_several_models_share_are_said_once() {
    let with = |title: &str, color: &Value| json!({"title": title, "type": "object", "properties": {"color": {"$ref": "#/$defs/Color"}}, "required": ["color"], "$defs": {"Color": color}});
    let (three, two) = (json!({"enum": ["red", "green", "blue"]}), json!({"enum": ["black", "white"]}));
    let client = printed(&json!([
        model("a", &with("First", &three)),
        model("b", &with("Second", &three)),
        model("c", &with("Third", &two))
    ]));
    assert_eq!(client.matches("export type Color = ").count(), 1);
    assert_eq!(declaration(&client, "Second"), "export interface Second extends Key { readonly color: Color; }");
    assert_eq!(declaration(&client, "Third"), "export interface Third extends Key { readonly color: Color2; }");
}

#[test]
fn a_comment_cannot_be_ended_from_outside() {
    let schema =
        json!({"title": "It", "type": "object", "description": "a */ export const x = 1; /*", "properties": {}});
    let client = printed(&json!([model("its", &schema)]));
    assert!(!client.contains("*/ export const x"), "{client}");
}

#[test]
fn deep_and_wide_schemas_come_to_an_end() {
    let wide: serde_json::Map<String, Value> =
        (0..60).map(|at| (format!("f{at}"), json!({"$ref": "#/$defs/Node"}))).collect();
    let schema = json!({"title": "It", "type": "object", "properties": wide,
                        "$defs": {"Node": {"type": "object", "properties": wide}, "Loop": {"$ref": "#/$defs/Loop"}}});
    let client = printed(&json!([model("its", &schema)]));
    assert!(client.len() < 2_000_000, "{}", client.len());
    let mut nested = json!({"type": "string"});
    for _ in 0..100 {
        nested = json!({"type": "array", "items": nested});
    }
    assert!(of(&nested).contains("unknown"));
    assert_eq!(of(&json!({"$ref": "#/properties/a"})), "A_");
}
