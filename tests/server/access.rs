//! Access rules from outside and from handlers that act as a caller: what a rule excludes is not there, by whatever way one asks.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use modeller::prelude::*;
use modeller::{LogEntry, LogFeature, LogLevel, LogSettings};
use serde_json::{Value, json};

use crate::support::{Answer, SECRET, Socket, ask, ask_with, serve, token};

#[model(id = "people", caller, client_ids)]
pub struct Person {
    #[field(unique)]
    pub name: String,
    #[field(default)]
    pub banned: bool,
}

#[model(id = "members")]
pub struct Member {
    #[field(references = Person::_ID, on_delete = cascade)]
    pub person: Id<Person>,
    pub room: String,
}

#[model(id = "messages")]
pub struct Message {
    pub author: String,
    #[field(index)]
    pub room: String,
    #[field(default)]
    pub open: bool,
    #[field(unique)]
    pub text: String,
    #[field(default)]
    pub note: Private<Option<String>>,
}

/// What is open is read by anyone, what is in a room by its members, and everybody writes his own.
#[access(Message)]
async fn message_access(caller: &Caller, members: Model<Member>, people: Model<Person>) -> Result<Access<Message>> {
    let open = Access::none().read(Message::OPEN.eq(true));
    let Some(me) = caller.id::<Person>() else { return Ok(open) };
    if people.get(&me).await?.is_none_or(|person| person.banned) {
        return Err(Error::new("BANNED").status(403));
    }
    let rooms: Vec<String> =
        members.find(Member::PERSON.eq(me.clone())).await?.iter().map(|member| member.room.clone()).collect();
    let name = me.to_string();
    let own = open.read(Message::ROOM.is_in(rooms)).write(Message::AUTHOR.eq(name));
    // Left behind by nobody: a rule writes nothing.
    people.insert(Person { name: format!("ghost-{}", GHOSTS.fetch_add(1, Ordering::Relaxed)), banned: false }).await?;
    Ok(if caller.has_role("moderator") { Access::all() } else { own })
}

static GHOSTS: AtomicU64 = AtomicU64::new(0);

#[value]
pub struct Which {
    pub id: String,
}

#[method(Message, public)]
async fn texts(messages: Model<Message>) -> Result<Vec<String>> {
    Ok(messages.find(Filter::all()).await?.iter().map(|message| message.text.clone()).collect())
}

#[method(Message, public)]
async fn all_texts(messages: System<Model<Message>>) -> Result<usize> {
    messages.count(Filter::all()).await
}

#[method(Message, public)]
async fn join_and_read(caller: Caller, members: System<Model<Member>>, messages: Model<Message>) -> Result<usize> {
    let person = caller.id::<Person>().ok_or_else(|| Error::new(ErrorCode::Unauthenticated))?;
    let before = messages.count(Filter::all()).await?;
    members.insert(Member { person, room: "blue".into() }).await?;
    Ok(messages.count(Filter::all()).await? - before)
}

#[method(Message, public)]
async fn remove(args: Which, messages: Model<Message>) -> Result<Doc<Message>> {
    messages.delete(args.id.parse::<Id<Message>>()?).await
}

/// Tells all who listen of what has changed, as far as they may read it.
#[hook(Message, after(insert, update, delete))]
async fn tell(message: Doc<Message>, messages: Model<Message>) -> Result<()> {
    messages.subscription(Filter::all()).publish_about(&message, &message.text).await
}

async fn opened() -> (App, Router) {
    let app = App::new()
        .model::<Person>()
        .model::<Member>()
        .model::<Message>()
        .secret(SECRET)
        .in_memory()
        .open()
        .await
        .unwrap();
    for name in ["ada", "bob", "eve"] {
        let person = Person { name: name.into(), banned: name == "eve" };
        app.model::<Person>().insert_with_id(name.parse().unwrap(), person).await.unwrap();
    }
    app.model::<Member>().insert(Member { person: "ada".parse().unwrap(), room: "red".into() }).await.unwrap();
    for (author, room, open, text) in [
        ("ada", "red", false, "a-red"),
        ("bob", "red", false, "b-red"),
        ("bob", "blue", false, "b-blue"),
        ("bob", "blue", true, "b-open"),
    ] {
        let note = Some("nobody-reads-this".to_owned()).into();
        let message = Message { author: author.into(), room: room.into(), open, text: text.into(), note };
        app.model::<Message>().insert_with_id(text.parse().unwrap(), message).await.unwrap();
    }
    let router = app.router();
    (app, router)
}

async fn of(app: &App, router: &Router, who: &str, method: &str, path: &str, body: Value) -> Answer {
    if who.is_empty() {
        return ask(router, method, path, body).await;
    }
    ask_with(router, method, path, body, &[("authorization", &format!("Bearer {}", token(app, who)))]).await
}

fn texts_of(answer: &Answer) -> Vec<String> {
    let items = answer.json()["items"].as_array().cloned().unwrap_or_else(|| panic!("{}", answer.json()));
    let mut texts: Vec<String> = items.iter().map(|item| item["text"].as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

#[tokio::test]
async fn a_rule_is_joined_to_every_query() {
    let (app, router) = opened().await;
    for (who, sees) in [("", &["b-open"][..]), ("ada", &["a-red", "b-open", "b-red"]), ("bob", &["b-open"])] {
        let answer = of(&app, &router, who, "GET", "/messages?count=true", Value::Null).await;
        assert_eq!(texts_of(&answer), sees, "{who}");
        assert_eq!(answer.json()["count"], sees.len(), "{who}");
        let query = json!({"filter": {"$or": [{"room": "red"}, {"room": "blue"}]}, "sort": {"text": -1}});
        assert_eq!(texts_of(&of(&app, &router, who, "POST", "/messages/@query", query).await), sees, "{who}");
        let called = of(&app, &router, who, "POST", "/messages/texts", Value::Null).await;
        assert_eq!(called.json().as_array().unwrap().len(), sees.len(), "{who}");
        for text in ["a-red", "b-red", "b-blue", "b-open"] {
            let answer = of(&app, &router, who, "GET", &format!("/messages/{text}"), Value::Null).await;
            assert_eq!(answer.status.as_u16(), if sees.contains(&text) { 200 } else { 404 }, "{who} {text}");
        }
    }
    // What the application does is under no rule.
    assert_eq!(of(&app, &router, "", "POST", "/messages/all_texts", Value::Null).await.json(), 4);
    assert_eq!(app.model::<Message>().count(Filter::all()).await.unwrap(), 4);
    assert_eq!(app.model::<Person>().count(Filter::all()).await.unwrap(), 3, "a rule has written");
}

#[tokio::test]
async fn what_may_not_be_read_is_answered_as_what_is_not_there() {
    let (app, router) = opened().await;
    for (method, body) in [
        ("GET", Value::Null),
        ("PATCH", json!({"text": "mine"})),
        ("PUT", json!({"author": "ada", "room": "red", "text": "mine"})),
        ("DELETE", Value::Null),
    ] {
        let hidden = of(&app, &router, "ada", method, "/messages/b-blue", body.clone()).await;
        let absent = of(&app, &router, "ada", method, "/messages/n-blue", body).await;
        hidden.assert_problem(404, "NOT_FOUND");
        let told = |answer: &Answer| String::from_utf8(answer.bytes.clone()).unwrap().replace("n-blue", "b-blue");
        assert_eq!(told(&hidden), told(&absent), "{method}");
        assert_eq!((hidden.headers.len(), hidden.status), (absent.headers.len(), absent.status));
    }
    let hidden = of(&app, &router, "ada", "POST", "/messages/remove", json!({"id": "b-blue"})).await;
    hidden.assert_problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_write_has_to_match_before_and_after() {
    let (app, router) = opened().await;
    let new = |author: &str, text: &str| json!({"author": author, "room": "green", "text": text});
    of(&app, &router, "", "POST", "/messages", new("ada", "x")).await.assert_problem(401, "UNAUTHENTICATED");
    // The right is asked before the document is looked at.
    of(&app, &router, "", "POST", "/messages", json!({"nonsense": 1})).await.assert_problem(401, "UNAUTHENTICATED");
    of(&app, &router, "ada", "POST", "/messages", new("bob", "x")).await.assert_problem(403, "FORBIDDEN");
    // And before it is told whether a value is taken.
    of(&app, &router, "ada", "POST", "/messages", new("bob", "b-blue")).await.assert_problem(403, "FORBIDDEN");
    let created = of(&app, &router, "ada", "POST", "/messages", new("ada", "a-green")).await;
    assert_eq!(created.status, 201);
    // Nobody has made her a member of the green room.
    let members: Vec<String> = created.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["_id", "_rev"]);
    let patch = json!({"text": "seen"});
    of(&app, &router, "ada", "PATCH", "/messages/b-red", patch.clone()).await.assert_problem(403, "FORBIDDEN");
    of(&app, &router, "ada", "DELETE", "/messages/b-red", Value::Null).await.assert_problem(403, "FORBIDDEN");
    of(&app, &router, "ada", "PATCH", "/messages/a-red", json!({"author": "bob"}))
        .await
        .assert_problem(403, "FORBIDDEN");
    let changed = of(&app, &router, "ada", "PATCH", "/messages/a-red", patch).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["text"]), (200, &"seen".into()));
    let moved = of(&app, &router, "ada", "PATCH", "/messages/a-red", json!({"room": "blue"})).await;
    assert_eq!((moved.status.as_u16(), moved.json().get("text")), (200, None), "it went to where she does not read");
    of(&app, &router, "ada", "PATCH", "/messages/a-red", json!({"room": "red"})).await.assert_problem(404, "NOT_FOUND");
    // One by one or many at once: all or none.
    let many = json!([new("ada", "m1"), new("bob", "m2")]);
    of(&app, &router, "ada", "POST", "/messages", many).await.assert_problem(403, "FORBIDDEN");
    assert_eq!(app.model::<Message>().count(Message::TEXT.eq("m1")).await.unwrap(), 0);
}

#[tokio::test]
async fn a_write_to_many_is_about_what_may_be_written() {
    let (app, router) = opened().await;
    let changed = of(&app, &router, "ada", "PATCH", "/messages?filter={}", json!({"open": true})).await;
    assert_eq!(changed.json()["updated"], 1);
    let deleted = of(&app, &router, "bob", "DELETE", "/messages?filter={}", Value::Null).await;
    // His own that he reads: one is open.
    assert_eq!(deleted.json()["deleted"], 1);
    let left = app.model::<Message>().find(Filter::all()).sort(Message::TEXT.asc()).await.unwrap();
    assert_eq!(left.iter().map(|doc| doc.text.as_str()).collect::<Vec<_>>(), ["a-red", "b-blue", "b-red"]);
    // The trash is under the rule as well: what was open may be looked at, and put back by who may insert it.
    let trash = of(&app, &router, "", "GET", "/messages/@trash?count=true", Value::Null).await;
    assert_eq!(trash.json()["count"], 1);
    let entry = trash.json()["items"][0]["_id"].as_str().unwrap().to_owned();
    let path = format!("/messages/@trash/{entry}");
    of(&app, &router, "ada", "POST", &path, Value::Null).await.assert_problem(403, "FORBIDDEN");
    of(&app, &router, "ada", "DELETE", &path, Value::Null).await.assert_problem(403, "FORBIDDEN");
    assert_eq!(of(&app, &router, "ada", "DELETE", "/messages/@trash", Value::Null).await.json()["purged"], 0);
    assert_eq!(of(&app, &router, "bob", "POST", &path, Value::Null).await.status, 201);
    app.model::<Message>().delete("b-blue".parse::<Id<Message>>().unwrap()).await.unwrap();
    let hidden = of(&app, &router, "ada", "GET", "/messages/@trash", Value::Null).await;
    assert_eq!(hidden.json()["items"], json!([]));
}

#[tokio::test]
async fn a_rule_follows_what_it_reads() {
    let (app, router) = opened().await;
    let joined = of(&app, &router, "ada", "POST", "/messages/join_and_read", Value::Null).await;
    assert_eq!(joined.json(), 1, "what the handler wrote counts for its next read");
    assert_eq!(of(&app, &router, "ada", "GET", "/messages/b-blue", Value::Null).await.status, 200);
    app.model::<Member>().delete_many(Member::ROOM.eq("blue")).await.unwrap();
    assert_eq!(of(&app, &router, "ada", "GET", "/messages/b-blue", Value::Null).await.status, 404);
    // An error of the rule is that of the operation.
    of(&app, &router, "eve", "GET", "/messages", Value::Null).await.assert_problem(403, "BANNED");
    of(&app, &router, "eve", "GET", "/messages/b-open", Value::Null).await.assert_problem(403, "BANNED");
    // Who is deleted is nobody, whatever his token says.
    app.model::<Person>().delete("bob".parse::<Id<Person>>().unwrap()).await.unwrap();
    of(&app, &router, "bob", "GET", "/messages", Value::Null).await.assert_problem(401, "UNAUTHENTICATED");
    of(&app, &router, "nobody", "GET", "/messages", Value::Null).await.assert_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn roles_and_metadata() {
    let (app, router) = opened().await;
    let claims = json!({"sub": "ada", "roles": ["moderator"]}).as_object().cloned().unwrap();
    let token = app.sign_token(claims, std::time::Duration::from_secs(60)).unwrap();
    let bearer = format!("Bearer {token}");
    let answer =
        ask_with(&router, "GET", "/messages?count=true&explain=false", Value::Null, &[("authorization", &bearer)])
            .await;
    assert_eq!(answer.json()["count"], 4);
    // How it is found is told of what was asked alone.
    of(&app, &router, "ada", "GET", "/messages?explain=true", Value::Null).await.assert_problem(400, "INVALID_QUERY");
    let explained =
        ask_with(&router, "GET", "/messages?explain=true", Value::Null, &[("authorization", &bearer)]).await;
    assert_eq!(explained.status, 200);
    let rights = async |who: &str| {
        let metadata = of(&app, &router, who, "GET", "/@metadata", Value::Null).await.json();
        metadata["models"].as_array().unwrap().iter().find(|model| model["id"] == "messages").cloned().unwrap()
    };
    assert_eq!(rights("").await["rights"], json!(["read"]));
    assert_eq!(rights("ada").await["rights"], json!(["read", "insert", "update", "delete"]));
    assert_eq!(rights("ada").await["access"], "public");
}

#[tokio::test]
async fn the_log_says_at_the_start_what_is_reached_by_whom() {
    let said: std::sync::Arc<std::sync::Mutex<Vec<String>>> = std::sync::Arc::default();
    let noted = said.clone();
    let settings = LogSettings::new().on_entry(move |entry: &LogEntry| {
        if entry.initial && entry.feature == LogFeature::Access && entry.level == LogLevel::Info {
            noted.lock().unwrap().push(format!("{}: {}", entry.model.as_deref().unwrap_or_default(), entry.message));
        }
    });
    let app = App::new().model::<Person>().model::<Member>().model::<Message>().log(settings);
    app.schema_model(SchemaModel::new("pages", json!({})).protected()).in_memory().open().await.unwrap();
    let said = said.lock().unwrap().clone();
    assert_eq!(
        said,
        [
            "messages: reached from outside: its documents by anyone, as its rule says; `all_texts`, `join_and_read`, `remove`, `texts` by anyone",
            "pages: reached from outside: its documents by verified callers",
        ]
    );
}

#[tokio::test]
async fn calls_on_a_socket_are_under_the_rule() {
    let (app, _) = opened().await;
    let served = serve(app).await;
    let mut socket = served.socket(Some(&token(&served.app, "ada"))).await;
    let answer = socket.ask("call", json!({"model": "messages", "method": "texts"})).await;
    assert_eq!(answer["result"].as_array().unwrap().len(), 3);
    let refused = socket.ask("call", json!({"model": "messages", "method": "remove", "args": {"id": "b-blue"}})).await;
    assert_eq!(refused["error"]["data"]["code"], "NOT_FOUND");
}

#[tokio::test]
async fn a_model_given_as_json_has_a_rule() {
    let notes =
        SchemaModel::new("notes", json!({"properties": {"owner": {"type": "string"}, "n": {"type": "integer"}}}))
            .client_ids()
            .rule(|call| {
                Box::pin(async move {
                    let Some(me) = call.caller().subject() else { return Ok(Access::none()) };
                    let own = Filter::parse(&json!({"owner": me}))?;
                    Ok(Access::none().read(own.clone()).write(own))
                })
            });
    let app = App::new().schema_model(notes).secret(SECRET).in_memory().open().await.unwrap();
    let router = app.router();
    for who in ["ada", "bob"] {
        let note = json!({"_id": who, "owner": who, "n": 1});
        assert_eq!(of(&app, &router, who, "POST", "/notes", note).await.status, 201);
    }
    assert_eq!(of(&app, &router, "ada", "GET", "/notes?count=true", Value::Null).await.json()["count"], 1);
    of(&app, &router, "ada", "GET", "/notes/bob", Value::Null).await.assert_problem(404, "NOT_FOUND");
    assert_eq!(of(&app, &router, "", "GET", "/notes", Value::Null).await.json()["items"], json!([]));
    let put = of(&app, &router, "ada", "PUT", "/notes/bob", json!({"owner": "ada"})).await;
    put.assert_problem(409, "UNIQUE_VIOLATION");
    let models = of(&app, &router, "", "GET", "/@metadata", Value::Null).await.json()["models"].clone();
    assert_eq!(models, json!([]), "nothing of it is open to anyone");
}

/// What is heard until nothing more comes: the payloads, in their order.
async fn heard(socket: &mut Socket) -> Vec<Value> {
    let asked = socket.request("call", json!({"model": "messages", "method": "all_texts"})).await;
    let mut heard = Vec::new();
    loop {
        let frame = socket.frame().await.unwrap();
        if frame["id"] == asked {
            return heard;
        }
        assert_eq!(frame["method"], "publish", "{frame}");
        heard.push(frame["params"]["payload"].clone());
    }
}

#[tokio::test]
async fn what_is_published_about_a_document_reaches_who_may_read_it() {
    let (app, _) = opened().await;
    let served = serve(app).await;
    let everything = json!({"model": "messages", "filter": {}});
    let mut ada = served.socket(Some(&token(&served.app, "ada"))).await;
    let mut anyone = served.socket(None).await;
    for socket in [&mut ada, &mut anyone] {
        assert!(socket.ask("subscribe", everything.clone()).await["result"]["subscription"].is_string());
    }
    let messages = served.app.model::<Message>();
    messages.update("b-red".parse::<Id<Message>>().unwrap(), Message::TEXT.set("1")).await.unwrap();
    messages.update("b-blue".parse::<Id<Message>>().unwrap(), Message::TEXT.set("2")).await.unwrap();
    messages.update("b-open".parse::<Id<Message>>().unwrap(), Message::TEXT.set("3")).await.unwrap();
    // As it was: nobody could read it afterwards.
    messages.delete("a-red".parse::<Id<Message>>().unwrap()).await.unwrap();
    // As it is: it went to where she does not read.
    messages.update("b-red".parse::<Id<Message>>().unwrap(), Message::ROOM.set("blue")).await.unwrap();
    assert_eq!(heard(&mut ada).await, ["1", "3", "a-red"]);
    assert_eq!(heard(&mut anyone).await, ["3"]);

    // Rights that are lost count from the next payload on, also on a socket that stays open.
    served.app.model::<Member>().insert(Member { person: "ada".parse().unwrap(), room: "blue".into() }).await.unwrap();
    messages.update("b-blue".parse::<Id<Message>>().unwrap(), Message::TEXT.set("4")).await.unwrap();
    assert_eq!(heard(&mut ada).await, ["4"]);
    served.app.model::<Member>().delete_many(Filter::all()).await.unwrap();
    messages.update("b-blue".parse::<Id<Message>>().unwrap(), Message::TEXT.set("5")).await.unwrap();
    messages.subscription(Filter::all()).publish(&"to all").await.unwrap();
    assert_eq!(heard(&mut ada).await, ["to all"]);

    // Whose rule fails hears nothing.
    let mut eve = served.socket(Some(&token(&served.app, "eve"))).await;
    let refused = eve.ask("subscribe", everything).await;
    assert_eq!(refused["error"]["data"]["code"], "BANNED");
    ada.request("authenticate", json!({"token": token(&served.app, "eve")})).await;
    let told = ada.frame().await.unwrap();
    assert_eq!((&told["method"], &told["params"]["code"]), (&json!("unsubscribed"), &json!("BANNED")));
    assert_eq!(ada.frame().await.unwrap()["result"], json!({}));
}
