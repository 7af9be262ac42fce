//! M1 to M3, M8, M11 and M12; P1, P8 and P9. The others stand with what they are about.

use std::sync::{Arc, Mutex};

use axum::Router;
use modeller::prelude::*;
use modeller::{HookEvent, Listener};
use serde_json::{Value, json};

use crate::send;

/// What the hooks were told, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[model(id = "posts", public)]
pub struct Post {
    #[field(unique, min_length = 1)]
    pub title: String,
    #[field(default)]
    pub likes: i64,
}

#[value]
pub struct Like {
    #[field(min_length = 1)]
    pub title: String,
}

#[hook(Post, before(insert, update))]
async fn trim(post: &mut Post, operation: Operation, timing: Timing, State(told): State<Told>) -> Result<()> {
    told.note(format!("{} {} {}", timing.as_str(), operation.as_str(), post.title));
    if post.title == "refused" {
        return Err(Error::new("REFUSED"));
    }
    post.title = post.title.trim().to_owned();
    Ok(())
}

#[hook(Post, after(insert), order = 1)]
async fn inserted(post: Doc<Post>, State(told): State<Told>) -> Result<()> {
    told.note(format!("after insert {} {}", post.id(), post.title));
    Ok(())
}

/// P1.
#[hook(Post, after(update))]
async fn updated(
    post: Doc<Post>,
    previous: Previous<Post>,
    posts: Model<Post>,
    State(told): State<Told>,
) -> Result<()> {
    told.note(format!("after update {} {} {}", post.id(), previous.likes, post.likes));
    posts.subscription(Filter::all()).publish(&post).await
}

#[hook(Post, before(delete))]
async fn going(id: Id<Post>, State(told): State<Told>) -> Result<()> {
    told.note(format!("before delete {id}"));
    Ok(())
}

#[hook(Post, after(delete))]
async fn gone(post: Doc<Post>, State(told): State<Told>) -> Result<()> {
    told.note(format!("after delete {} {}", post.id(), post.title));
    Ok(())
}

#[hook(Post, before(list))]
async fn listing(query: &mut Query<Post>, State(told): State<Told>) -> Result<()> {
    told.note("before list".into());
    *query = query.clone().limit(1);
    Ok(())
}

#[hook(Post, after(list))]
async fn listed(_query: &mut Query<Post>, State(told): State<Told>) -> Result<()> {
    told.note("after list".into());
    Ok(())
}

/// P8: called by one, with an answer for that one.
#[method(Post)]
async fn like(args: Like, posts: Model<Post>) -> Result<i64> {
    Ok(posts.update(Post::TITLE.eq(args.title), Post::LIKES.inc(1)).await?.likes)
}

/// P8: sent by one, heard by all who are in the room.
#[event(Post)]
async fn cheer(args: Like, room: Subscription<Post>) -> Result<String> {
    room.publish(&json!({"cheers": args.title})).await?;
    Ok("sent".into())
}

async fn blog() -> (App, Router, Told) {
    let told = Told::default();
    let app = App::new().model::<Post>().state(told.clone()).in_memory().open().await.unwrap();
    let router = app.router();
    (app, router, told)
}

fn post(title: &str) -> Post {
    Post { title: title.into(), likes: 0 }
}

async fn heard(listener: &mut Listener) -> Value {
    match listener.next().await {
        Some(Heard::Payload { payload, .. }) => payload,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn m1_hooks_change_throw_and_come_and_go() {
    let (app, router, told) = blog().await;
    let posts = app.model::<Post>();
    // One hook of two events, which changes what is stored.
    let one = posts.insert(post(" one ")).await.unwrap();
    assert_eq!(one.title, "one");
    assert_eq!(posts.update(&one, Post::TITLE.set(" two ")).await.unwrap().title, "two");
    // What it throws undoes the operation, also from outside.
    assert_eq!(posts.insert(post("refused")).await.unwrap_err().code().as_str(), "REFUSED");
    let (status, problem) = send(&router, "POST", "/posts", json!({"title": "refused"}), None).await;
    assert_eq!((status, &problem["code"], posts.count(Filter::all()).await.unwrap()), (400, &json!("REFUSED"), 1));
    // At run time, with side effects of its own, and away again.
    let events = [HookEvent::after(Operation::Insert), HookEvent::after(Operation::Delete)];
    posts
        .hook("late", events, {
            let told = told.clone();
            move |mut call| {
                let told = told.clone();
                Box::pin(async move {
                    let doc = call.doc()?;
                    told.note(format!("late {} {}", call.operation().as_str(), doc.title));
                    Ok(())
                })
            }
        })
        .unwrap();
    told.take();
    let three = posts.insert(post("three")).await.unwrap();
    posts.delete(&three).await.unwrap();
    let late: Vec<String> = told.take().into_iter().filter(|text| text.starts_with("late")).collect();
    assert_eq!(late, ["late insert three", "late delete three"]);
    assert!(posts.unhook("late"));
    posts.insert(post("four")).await.unwrap();
    assert!(told.take().iter().all(|text| !text.starts_with("late")));
}

#[tokio::test]
async fn m2_what_a_hook_is_given_at_each_event() {
    let (app, _, told) = blog().await;
    let posts = app.model::<Post>();
    let one = posts.insert(post("one")).await.unwrap();
    let id = one.id();
    assert_eq!(told.take(), ["before insert one".to_owned(), format!("after insert {id} one")]);
    posts.update(&one, Post::LIKES.set(7)).await.unwrap();
    assert_eq!(told.take(), ["before update one".to_owned(), format!("after update {id} 0 7")]);
    posts.insert(post("two")).await.unwrap();
    told.take();
    assert_eq!(posts.list(Query::all()).await.unwrap().items.len(), 1, "a hook has changed the query");
    assert_eq!(told.take(), ["before list", "after list"]);
    posts.delete(&one).await.unwrap();
    assert_eq!(told.take(), [format!("before delete {id}"), format!("after delete {id} one")]);
}

#[tokio::test]
async fn m3_get_and_find_fire_no_hooks() {
    let (app, router, told) = blog().await;
    let posts = app.model::<Post>();
    let one = posts.insert(post("one")).await.unwrap();
    told.take();
    posts.get(&one).await.unwrap().unwrap();
    posts.find(Filter::all()).await.unwrap();
    posts.count(Filter::all()).await.unwrap();
    send(&router, "GET", &format!("/posts/{}", one.id()), Value::Null, None).await;
    assert_eq!(told.take(), [] as [String; 0]);
}

#[tokio::test]
async fn m8_methods_are_called_by_name_and_by_id() {
    let (app, router, _) = blog().await;
    let posts = app.model::<Post>();
    posts.insert(post("one")).await.unwrap();
    assert_eq!(posts.methods(), ["like"]);
    assert_eq!(posts.like(Like { title: "one".into() }).await.unwrap(), 1);
    assert_eq!(posts.call("like", json!({"title": "one"})).await.unwrap(), 2);
    let over_http = send(&router, "POST", "/posts/like", json!({"title": "one"}), None).await;
    assert_eq!(over_http, (200, json!(3)));
    let error = posts.call("like", json!({"title": ""})).await.unwrap_err();
    assert_eq!(error.violations()[0].keyword, "minLength");
    assert_eq!(posts.call("unlike", json!({})).await.unwrap_err().code(), &ErrorCode::MethodNotFound);
}

#[tokio::test]
async fn m11_the_arguments_of_events_are_validated_first() {
    let (app, ..) = blog().await;
    let room = app.model::<Post>().subscription(Filter::all());
    let mut listener = room.listen();
    let error = room.dispatch("cheer", json!({"title": ""})).await.unwrap_err();
    assert_eq!((error.code(), error.violations().len()), (&ErrorCode::ValidationError, 1));
    let error = room.cheer(Like { title: String::new() }).await.unwrap_err();
    assert_eq!(error.code(), &ErrorCode::ValidationError);
    assert_eq!(room.cheer(Like { title: "one".into() }).await.unwrap(), "sent");
    // Those that were refused were not run.
    assert_eq!(heard(&mut listener).await, json!({"cheers": "one"}));
}

#[tokio::test]
async fn m12_the_same_query_is_the_same_subscription() {
    let (app, ..) = blog().await;
    let posts = app.model::<Post>();
    let filter = |json: Value| Filter::parse(&json).unwrap();
    let first = posts.subscription(filter(json!({"likes": {"$gt": 1}, "title": "one"})));
    let same = posts.subscription(filter(json!({"title": {"$eq": "one"}, "likes": {"$gt": 1}})));
    let other = posts.subscription(filter(json!({"likes": {"$gt": 2}})));
    assert_eq!((first.id(), first.room()), (same.id(), same.room()));
    assert_ne!(first.id(), other.id());
    let (mut hears, mut hears_nothing) = (first.listen(), other.listen());
    same.publish(&json!({"n": 1})).await.unwrap();
    assert_eq!(heard(&mut hears).await, json!({"n": 1}));
    assert_eq!(
        (first.events(), first.dispatch("cheer", json!({"title": "x"})).await.unwrap()),
        (vec!["cheer"], json!("sent"))
    );
    assert_eq!(heard(&mut hears).await, json!({"cheers": "x"}));
    let error = first.dispatch("boo", json!({})).await.unwrap_err();
    assert_eq!((error.code(), error.get("id")), (&ErrorCode::EventNotFound, Some(&json!("boo"))));
    // Whoever is gone hears nothing more, and the others do.
    drop(hears);
    other.publish(&json!({"n": 2})).await.unwrap();
    assert_eq!(heard(&mut hears_nothing).await, json!({"n": 2}));
}

#[tokio::test]
async fn p1_publish_on_update_from_an_after_update_hook() {
    let (app, router, _) = blog().await;
    let posts = app.model::<Post>();
    let mut listener = posts.subscription(Filter::all()).listen();
    let one = posts.insert(post("one")).await.unwrap();
    // What is undone is not published.
    posts.update(&one, Post::TITLE.set("refused")).await.unwrap_err();
    let path = format!("/posts/{}", one.id());
    assert_eq!(send(&router, "PATCH", &path, json!({"likes": 4}), None).await.0, 200);
    let payload = heard(&mut listener).await;
    assert_eq!((&payload["_id"], &payload["likes"]), (&json!(one.id()), &json!(4)));
}

#[tokio::test]
async fn p8_a_method_answers_one_and_an_event_reaches_all() {
    let (app, router, _) = blog().await;
    let posts = app.model::<Post>();
    posts.insert(post("one")).await.unwrap();
    let room = posts.subscription(Post::TITLE.eq("one"));
    let mut listeners = [room.listen(), room.listen(), posts.subscription(Post::TITLE.eq("one")).listen()];
    assert_eq!(send(&router, "POST", "/posts/like", json!({"title": "one"}), None).await.1, 1);
    room.cheer(Like { title: "one".into() }).await.unwrap();
    for listener in &mut listeners {
        assert_eq!(heard(listener).await, json!({"cheers": "one"}), "and nothing of the method's answer");
    }
}

/// In process here; over the wire `tests/server/socket.rs` and `tests/served.rs` hear the same room.
#[tokio::test]
async fn p9_listening_in_process_hears_what_is_done_from_outside() {
    let (app, router, _) = blog().await;
    let posts = app.model::<Post>();
    let mut inserts = posts.on_insert();
    let mut room = posts.subscription(Filter::all()).listen();
    let (_, made) = send(&router, "POST", "/posts", json!({"title": "one"}), None).await;
    match inserts.next().await {
        Some(Emission::Doc { doc, .. }) => assert_eq!(json!(doc.id()), made["_id"]),
        other => panic!("{other:?}"),
    }
    send(&router, "POST", "/posts/like", json!({"title": "one"}), None).await;
    assert_eq!(heard(&mut room).await["likes"], 1);
}
