//! The models and routes of the program `described`: one of each kind that a description has to describe.

use modeller::prelude::*;
use modeller::{AppBuilder, server::RouteResponse};
use serde_json::json;

/// Somebody.
#[model(id = "people", public, client_ids, trash = "90d")]
pub struct Person {
    /// Where mail goes.
    #[field(unique, max_length = 80)]
    pub email: String,
    /// Must not be seen.
    #[field(default, max_length = 40)]
    pub password: Private<String>,
    /// For verified callers.
    #[field(default)]
    pub salary: Protected<Option<u32>>,
    /// In years.
    #[field(index, default = 18, minimum = 0, maximum = 150)]
    pub age: u8,
    /// What may be done.
    #[field(default)]
    pub role: Role,
    /// Where.
    #[field(default)]
    pub homes: Vec<Home>,
    /// Where most often.
    #[field(default)]
    pub main_home: Option<Home>,
    /// Which team, if any.
    #[field(default, references = Team::_ID, on_delete = set_null)]
    pub team: Option<Id<Team>>,
}

/// A role.
#[value]
#[derive(Default, PartialEq)]
pub enum Role {
    /// Most.
    #[default]
    User,
    /// Few.
    Admin,
}

/// A place to live.
#[value]
pub struct Home {
    /// Its town.
    #[field(min_length = 1)]
    pub town: String,
    /// The key to it.
    #[field(default)]
    pub key: Private<Option<String>>,
    /// Its size, in square meters.
    pub size: f64,
}

/// A team.
#[model(id = "teams", public)]
pub struct Team {
    /// No two have the same.
    #[field(unique, min_length = 1, max_length = 40)]
    pub name: String,
}

/// For verified callers alone.
#[model(id = "notes", protected)]
pub struct Note {
    /// What it says.
    pub text: String,
}

/// What is said.
#[value]
pub struct Say {
    /// In so many words.
    #[field(min_length = 1, max_length = 100)]
    pub text: String,
    /// How often.
    #[field(default = 1, minimum = 1, maximum = 5)]
    pub times: u8,
}

/// Says it.
#[method(Person)]
pub async fn echo(args: Say) -> Result<String> {
    Ok(args.text.repeat(usize::from(args.times)))
}

/// How many there are.
#[method(Person)]
pub async fn headcount(people: Model<Person>) -> Result<usize> {
    people.count(Filter::all()).await
}

/// The oldest.
#[method(Person, protected)]
pub async fn oldest(people: Model<Person>) -> Result<Option<Doc<Person>>> {
    Ok(people.list(Query::all().sort(Person::AGE.desc()).limit(1)).await?.items.into_iter().next())
}

/// A number of a path.
#[value]
pub struct SquarePath {
    /// To be squared.
    pub number: i32,
}

/// How a number is shown.
#[value]
pub struct Shown {
    /// How often.
    #[field(default = 1, minimum = 1, maximum = 3)]
    pub times: u32,
    /// Between them.
    #[field(default)]
    pub between: Option<String>,
}

/// The square of a number.
#[route(GET, "/squares/{number}")]
pub async fn square(PathArgs(path): PathArgs<SquarePath>, QueryArgs(shown): QueryArgs<Shown>) -> Result<Vec<i64>> {
    let _ = shown.between;
    Ok(vec![i64::from(path.number).pow(2); shown.times as usize])
}

/// Writes a note.
#[route(POST, "/notes-of-anyone")]
pub async fn leave_note(args: Say, System(notes): System<Model<Note>>) -> Result<Doc<Note>> {
    notes.insert(Note { text: args.text }).await
}

/// Who asks.
#[route(GET, "/me", protected)]
pub async fn me(caller: Caller) -> Result<Option<String>> {
    Ok(caller.subject().map(str::to_owned))
}

/// A text that is no JSON.
#[route(GET, "/robots.txt")]
pub async fn robots() -> Result<RouteResponse> {
    Ok(RouteResponse::new("Disallow: /"))
}

/// The secret of the program's tokens.
pub const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef-described";

/// The application, without where its data is.
pub fn builder() -> AppBuilder {
    let pages = json!({
        "type": "object",
        "properties": {
            "title": {"type": "string", "minLength": 1, "maxLength": 40},
            "draft": {"type": "string", "private": true},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3, "default": []},
        },
        "required": ["title"],
        "additionalProperties": false,
    });
    App::new()
        .model::<Person>()
        .model::<Team>()
        .model::<Note>()
        .schema_model(SchemaModel::new("pages", pages).public())
        .routes_in(module_path!())
        .route(HttpMethod::Post, "/system/ping", |_| async { Ok(json!({"ok": true})) })
        .secret(SECRET)
}
