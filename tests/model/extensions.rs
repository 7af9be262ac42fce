//! Models that extend others: `system.ssh`.

use modeller::prelude::*;
use modeller::{AppBuilder, Subscription};
use serde_json::json;

#[model(id = "system", public)]
pub struct Machine {
    #[field(unique)]
    pub name: String,
}

#[model(id = "ssh", parent = Machine, public)]
pub struct Ssh {
    #[field(unique)]
    pub user: String,
    pub key: Private<String>,
}

/// An extension of an extension.
#[model(id = "session", parent = Ssh)]
pub struct Session {
    #[field(references = Ssh::USER, on_delete = cascade)]
    pub user: String,
}

#[model(id = "docker", parent = Machine)]
pub struct Docker {
    #[field(references = Machine::_ID)]
    pub host: Id<Machine>,
}

#[value]
pub struct Connect {
    pub user: String,
}

#[method(Ssh)]
async fn connect(args: Connect, ssh: Model<Ssh>, sessions: System<Model<Session>>) -> Result<usize> {
    let account = ssh.get(Ssh::USER.eq(args.user)).await?.ok_or_else(|| Error::new("NOBODY"))?;
    sessions.insert(Session { user: account.user.clone() }).await?;
    sessions.count(Filter::all()).await
}

/// The same id as a method of the extension: each model has its own.
#[method(Machine, id = "connect")]
async fn connect_machine() -> Result<String> {
    Ok("machine".into())
}

#[event(Ssh)]
async fn knock(args: Connect, room: Subscription<Ssh>) -> Result<()> {
    room.publish(&args).await
}

#[hook(Ssh, before(insert))]
async fn lower(next: &mut Ssh, machines: Model<Machine>) -> Result<()> {
    // An extension of the handle is in the same transaction.
    assert_eq!(machines.extension::<Ssh>()?.count(Ssh::USER.eq(next.user.clone())).await?, 0);
    next.user = next.user.to_lowercase();
    Ok(())
}

fn all() -> AppBuilder {
    App::new().model::<Machine>().model::<Ssh>().model::<Session>().model::<Docker>().in_memory()
}

fn ssh(user: &str) -> Ssh {
    Ssh { user: user.into(), key: "secret".to_owned().into() }
}

#[tokio::test]
async fn m14_an_extension_is_a_model_of_its_own_behind_its_parent() {
    let app = all().open().await.unwrap();
    assert!(app.summary().contains("4 models (system, system.docker, system.ssh, system.ssh.session)"));
    let system = app.model::<Machine>();
    assert_eq!(system.extensions(), ["docker", "ssh"]);
    assert_eq!(app.model::<Ssh>().extensions(), ["session"]);
    assert!(app.model::<Session>().extensions().is_empty());

    let accounts = system.extension::<Ssh>().unwrap();
    let ada = accounts.insert(ssh("Ada")).await.unwrap();
    assert_eq!((ada.user.as_str(), system.count(Filter::all()).await.unwrap()), ("ada", 0), "not merged");
    // Its methods and events are its own.
    assert_eq!((accounts.methods(), system.methods()), (vec!["connect"], vec!["connect"]));
    assert_eq!(accounts.connect(Connect { user: "ada".into() }).await.unwrap(), 1);
    assert_eq!(system.call("connect", json!({})).await.unwrap(), "machine");
    let room = accounts.subscription(Filter::all());
    assert_eq!((room.events(), system.subscription(Filter::all()).events()), (vec!["knock"], vec![]));
    let mut heard = room.listen();
    room.knock(Connect { user: "ada".into() }).await.unwrap();
    let Heard::Payload { payload, .. } = heard.next().await.unwrap() else { panic!("nothing was heard") };
    assert_eq!(payload["user"], "ada");
    // What refers to it is followed.
    accounts.delete(&ada).await.unwrap();
    assert_eq!(app.model::<Session>().count(Filter::all()).await.unwrap(), 0);
    let nowhere = app.model::<Docker>().insert(Docker { host: "x".parse().unwrap() }).await.unwrap_err();
    assert_eq!((nowhere.code(), nowhere.get("model")), (&ErrorCode::ReferenceViolation, Some(&json!("system"))));
}

#[tokio::test]
async fn m14_extensions_by_id_and_as_json() {
    let schema = json!({"properties": {"chain": {"type": "string", "unique": true}}, "required": ["chain"]});
    let rule = json!({"properties": {"in": {"model": "system.firewall.chain"}}, "required": ["in"]});
    let firewall = SchemaModel::new("system.firewall", schema.clone());
    let rules = SchemaModel::new("system.firewall.rules", rule);
    let app = all().schema_model(firewall).schema_model(rules).open().await.unwrap();
    let system = app.model::<Machine>();
    assert_eq!(system.extensions(), ["docker", "firewall", "ssh"]);
    let firewall = system.extension_by_id("firewall").unwrap();
    firewall.insert(json!({"chain": "input"}).try_into().unwrap()).await.unwrap();
    let rules = firewall.extension_by_id("rules").unwrap();
    rules.insert(json!({"in": "input"}).try_into().unwrap()).await.unwrap();
    let nowhere = rules.insert(json!({"in": "output"}).try_into().unwrap()).await.unwrap_err();
    assert_eq!(nowhere.get("model"), Some(&json!("system.firewall")));
    for absent in ["rules", "", ".", "ssh.", "x"] {
        let error = system.extension_by_id(absent).unwrap_err();
        assert_eq!(error.code(), &ErrorCode::ModelNotFound, "{absent}");
    }
    // A name in a schema may have a dot, too.
    let dotted = json!({"properties": {"x.y": {"type": "integer", "unique": true}}});
    let refers = json!({"properties": {"to": {"type": "integer", "model": "plain.x.y"}}});
    let refers = SchemaModel::new("refers", refers);
    App::new().schema_model(SchemaModel::new("plain", dotted)).schema_model(refers).in_memory().open().await.unwrap();
    let refused = |model: &str| App::new().schema_model(SchemaModel::new(model, schema.clone())).in_memory().open();
    for (id, told) in [
        ("lost.child", "the model `lost.child` (given as JSON) extends `lost`, which the application does not have"),
        ("a..b", "must match"),
        (".a", "must match"),
        ("a.B", "must match"),
        ("a.b.c.d.e.f.g.h.i", "must match"),
    ] {
        let error = refused(id).await.unwrap_err();
        assert!(error.text().contains(told), "{id}: {error}");
    }
    let error = App::new().model::<Ssh>().in_memory().open().await.unwrap_err();
    assert!(error.text().contains("extends `system`, which the application does not have"), "{error}");
}

#[tokio::test]
async fn m14_what_belongs_to_an_extension_survives_and_is_deleted_like_any_other() {
    let memory = modeller::storage::Memory::new();
    let build = || App::new().model::<Machine>().model::<Ssh>().storage(memory.reopen());
    let app = build().open().await.unwrap();
    let ada = app.model::<Ssh>().insert(ssh("ada")).await.unwrap();
    app.model::<Ssh>().delete(&ada).await.unwrap();
    app.model::<Ssh>().insert(ssh("bob")).await.unwrap();
    drop(app);
    let app = build().open().await.unwrap();
    assert_eq!(app.model::<Ssh>().find(Filter::all()).await.unwrap()[0].user, "bob");
    let trash = app.model::<Ssh>();
    assert_eq!(trash.trash().list(Filter::all()).await.unwrap().len(), 1);
}
