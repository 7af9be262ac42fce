::core::compile_error! {
    "unknown key `uniqe`; did you mean `unique`? (the keys of `#[field]` are `unique`, `index`, `references`, `on_delete`, `default`, `min_length`, `max_length`, `pattern`, `format`, `minimum`, `maximum`, `exclusive_minimum`, `exclusive_maximum`, `multiple_of`, `min_items`, `max_items`, `unique_items`, `contains`, `min_properties`, `max_properties`, `const`, `schema_ref`, `title`, `example`, `constant`, `rename`, `hidden`, `error_message`)"
}
::core::compile_error! {
    "`Users` cannot be the id of a model: ids match `[a-z][A-Za-z0-9_-]*`; write `id = \"users\"`"
}
::core::compile_error! {
    "`Clone` is derived by `#[model]`; remove it"
}
#[derive(
    ::core::clone::Clone,
    ::core::fmt::Debug,
    ::modeller::__private::serde::Serialize,
    ::modeller::__private::serde::Deserialize,
    ::modeller::__private::schemars::JsonSchema,
)]
#[serde(crate = "::modeller::__private::serde")]
#[schemars(crate = "::modeller::__private::schemars")]
#[serde(deny_unknown_fields)]
#[derive(PartialEq)]
pub struct User {
    #[schemars(extend("minLength" = 3))]
    pub email: String,
}
#[allow(dead_code, non_upper_case_globals, private_interfaces)]
impl User {
    /// The id of a document.
    pub const _ID: ::modeller::__private::Field<
        User,
        ::modeller::__private::Id<User>,
        ::modeller::__private::Unique,
    > = ::modeller::__private::Field::new("_id");
    /// The field `email` of [`User`].
    pub const EMAIL: ::modeller::__private::Field<
        User,
        String,
        ::modeller::__private::Plain,
    > = ::modeller::__private::Field::new("email");
}
const _: () = {
    #[allow(unused_imports)]
    use ::modeller::__private::{BySerialize as _, ByView as _};
    #[automatically_derived]
    impl ::modeller::__private::ObjectRef for User {
        fn get(
            &self,
            name: &str,
        ) -> ::core::option::Option<::modeller::__private::ValueRef<'_>> {
            match name {
                "email" => {
                    ::core::option::Option::Some(
                        (&::modeller::__private::Probe(&self.email)).view(),
                    )
                }
                _ => ::core::option::Option::None,
            }
        }
        fn slots(&self) -> usize {
            1usize
        }
        fn entry(
            &self,
            slot: usize,
        ) -> ::core::option::Option<(&str, ::modeller::__private::ValueRef<'_>)> {
            match slot {
                0usize => {
                    ::core::option::Option::Some((
                        "email",
                        (&::modeller::__private::Probe(&self.email)).view(),
                    ))
                }
                _ => ::core::option::Option::None,
            }
        }
    }
    #[automatically_derived]
    impl ::modeller::__private::AsValue for User {
        fn as_value(&self) -> ::modeller::__private::ValueRef<'_> {
            ::modeller::__private::ValueRef::Object(self)
        }
    }
    #[automatically_derived]
    impl ::modeller::__private::Holds<User> for User {
        type Kind<K: ::modeller::__private::FieldKind> = K::Nested;
    }
    #[automatically_derived]
    impl ::modeller::__private::Record for User {
        const NAMES: &'static ::modeller::__private::Names = &::modeller::__private::Names {
            own: &["email"],
            flattened: &[],
        };
    }
    #[automatically_derived]
    impl ::modeller::__private::ModelType for User {
        const DECLARATION: &'static ::modeller::__private::ModelDeclaration = &::modeller::__private::ModelDeclaration {
            id: "users",
            access: ::modeller::__private::Visibility::Internal,
            caller: false,
            client_ids: false,
            trash: ::core::option::Option::Some(::modeller::__private::RETENTION),
            fields: &[
                ::modeller::__private::FieldDeclaration {
                    name: "email",
                    unique: false,
                    index: false,
                    private: false,
                    protected: false,
                },
            ],
            indexes: &[],
            kind: ::modeller::__private::Kind::of::<User>(),
            site: ::modeller::__private::Site {
                module: ::core::module_path!(),
                file: ::core::file!(),
                line: ::core::line!(),
            },
        };
    }
};
