//! Expansions of whole programs, printed as Rust, against the files in `tests/golden`.
//!
//! A difference is a change for every user: look at it like at code, then renew the files with
//! `UPDATE_GOLDEN=1 cargo test -p modeller-macros`.

use std::path::Path;

use proc_macro2::TokenStream;
use quote::quote;

use crate::{access, authenticate, entry, event, hook, method, migrate, model, route, stream, upload, value, worker};

#[track_caller]
fn golden(name: &str, expansion: &TokenStream) {
    let file = syn2::parse2(expansion.clone()).unwrap_or_else(|error| panic!("{error}: {expansion}"));
    let printed = prettyplease::unparse(&file);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("rs");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, printed).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(printed == expected, "{} is not what is expanded now:\n{printed}", path.display());
}

#[test]
fn a_model() {
    let args = quote!(id = "users", public, error_message(additional_properties = "an unknown member"));
    let item = quote! {
        /// A person who can sign in.
        pub struct User {
            /// Where mail goes.
            #[field(unique, format = "email", error_message(required = "no address", format = "no good address"))]
            pub email: String,
            #[field(min_length = 12)]
            pub password: Private<String>,
            #[field(index, default)]
            pub role: Role,
            #[field(default = 3, minimum = 0, maximum = 10)]
            r#type: u8,
        }
    };
    golden("model", &model::expand(args, item));
}

#[test]
fn a_model_with_indexes_over_several_fields() {
    let args = quote!(
        id = "things",
        rename_all = "camelCase",
        unique(owner, wire_name),
        index(kind, age, secret),
        index(age, kind)
    );
    let item = quote! {
        pub struct Thing {
            pub owner: Id<User>,
            pub wire_name: String,
            pub kind: Option<Kind>,
            pub age: u8,
            pub secret: Private<String>,
        }
    };
    golden("model_indexes", &model::expand(args, item));
}

#[test]
fn a_reference() {
    let item = quote! {
        struct Member {
            #[field(references = Team::_ID, on_delete = cascade)]
            team: Id<Team>,
            #[field(references = crate::User::EMAIL)]
            user: String,
        }
    };
    golden("model_reference", &model::expand(quote!(id = "members"), item));
}

#[test]
fn a_value() {
    let item = quote! {
        pub struct Promote {
            #[field(format = "email")]
            pub email: String,
        }
    };
    golden("value_struct", &value::expand(quote!(rename_all = "camelCase"), item));
}

#[test]
fn an_enum() {
    let item = quote! {
        #[derive(Default, PartialEq)]
        pub enum Role {
            #[default]
            User,
            SuperAdmin,
        }
    };
    golden("value_enum", &value::expand(TokenStream::new(), item));
}

#[test]
fn a_value_that_is_part_of_a_model() {
    let item = quote! {
        pub struct Card {
            pub email: String,
            pub role: Role,
        }
    };
    golden("value_part", &value::expand(quote!(of = models::User), item));
}

#[test]
fn an_enum_with_data() {
    let item = quote! {
        enum Shape {
            Empty,
            Circle { radius: f64 },
            Square(u8),
        }
    };
    golden("value_enum_data", &value::expand(TokenStream::new(), item));
}

#[test]
fn an_enum_with_a_tag() {
    let item = quote! {
        #[serde(tag = "kind", rename_all_fields = "camelCase")]
        enum Shape {
            Empty,
            Circle { radius_in_mm: f64 },
            Square(Square),
        }
    };
    golden("value_enum_tagged", &value::expand(TokenStream::new(), item));
}

#[test]
fn a_newtype() {
    let item = quote!(
        pub struct Email(#[field(format = "email")] String);
    );
    golden("value_newtype", &value::expand(TokenStream::new(), item));
}

#[test]
fn a_hook() {
    let args = quote!(User, before(insert, update), order = 5);
    let item = quote! {
        async fn lowercase_email(user: &mut User, caller: &Caller) -> Result<()> {
            Ok(())
        }
    };
    golden("hook", &hook::expand(args, &item));
}

#[test]
fn a_method() {
    let item = quote! {
        /// Makes someone an administrator.
        pub async fn promote(args: Promote, users: Model<User>) -> Result<Doc<User>> {
            users.update(User::EMAIL.eq(args.email), User::ROLE.set(Role::Admin)).await
        }
    };
    golden("method", &method::expand(quote!(User, protected), &item));
}

#[test]
fn a_method_without_arguments() {
    let item = quote! {
        async fn stats(State(clock): State<Clock>) -> Result<u64> {
            Ok(clock.now())
        }
    };
    golden("method_no_arguments", &method::expand(quote!(User, crate = crate::inner), &item));
}

#[test]
fn an_event() {
    let item = quote! {
        async fn role_changed(args: RoleChanged, room: Subscription<User>) -> Result<()> {
            Ok(())
        }
    };
    golden("event", &event::expand(quote!(User), &item));
}

#[test]
fn an_upload_and_a_stream() {
    let item = quote! {
        /// Keeps a picture.
        pub async fn avatar(mut file: File, fields: Avatar, users: &Model<User>) -> Result<Doc<User>> {
            users.update(fields.id, User::AVATAR.set(file.bytes(1024).await?.len())).await
        }
    };
    golden("upload", &upload::expand(quote!(User, protected), &item));
    let item = quote! {
        async fn append(part: Part, chunk: Chunk) -> Result<u64> {
            Ok(chunk.offset())
        }
    };
    golden("stream", &stream::expand(quote!(User), &item));
}

#[test]
fn a_method_that_is_no_transaction() {
    let item = quote! {
        async fn report(users: Model<User>) -> Result<()> {
            Ok(())
        }
    };
    golden("method_no_transaction", &method::expand(quote!(User, transaction = none), &item));
}

#[test]
fn a_worker() {
    let item = quote! {
        async fn sweep(users: Model<User>) -> Result<()> {
            Ok(())
        }
    };
    golden("worker", &worker::expand(quote!(User, every = "1m 30s", immediate = false), &item));
}

#[test]
fn an_access_rule() {
    let item = quote! {
        async fn own_notes(caller: &Caller, teams: Model<Team>) -> Result<Access<Note>> {
            Ok(Access::none())
        }
    };
    golden("access", &access::expand(quote!(Note), &item));
}

#[test]
fn who_a_caller_is() {
    let item = quote! {
        async fn by_email(caller: Caller, users: Model<User>) -> Result<Id<User>> {
            find(users, caller.claim("email")).await
        }
    };
    golden("authenticate", &authenticate::expand(quote!(User), &item));
}

#[test]
fn routes() {
    let item = quote! {
        /// Whether the program answers.
        async fn ping(QueryArgs(ping): QueryArgs<Ping>, caller: &Caller) -> Result<String> {
            Ok("pong".into())
        }
    };
    golden("route", &route::expand(quote!(GET, "/ping"), &item));
    let item = quote! {
        async fn rename(args: Rename, PathArgs(thing): PathArgs<ThingPath>, tx: Transaction) -> Result<Doc<Thing>> {
            tx.model::<Thing>()?.update(thing.id, Thing::NAME.set(args.name)).await
        }
    };
    golden("route_body", &route::expand(quote!(POST, "/rename/{id}", protected), &item));
}

#[test]
fn a_migration() {
    let item = quote! {
        fn old_user(old: Document) -> Result<Document> {
            Ok(old)
        }
    };
    golden("migrate", &migrate::expand(quote!(User), &item));
}

#[test]
fn the_entry() {
    let item = quote! {
        async fn main() -> Result<()> {
            App::discover().serve("127.0.0.1:3030").await
        }
    };
    golden("entry", &entry::expand(TokenStream::new(), &item));
}

#[test]
fn after_a_mistake_the_type_stays() {
    let item = quote! {
        #[derive(Clone, PartialEq)]
        pub struct User {
            #[field(uniqe, min_length = 3)]
            pub email: String,
        }
    };
    golden("mistake_model", &model::expand(quote!(id = "Users"), item));
}

#[test]
fn after_a_mistake_the_call_stays() {
    let item = quote! {
        fn promote(args: Promote) -> Result<()> {
            Ok(())
        }
    };
    golden("mistake_method", &method::expand(quote!(User), &item));
}
