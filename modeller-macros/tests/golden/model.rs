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
/// A person who can sign in.
#[schemars(
    extend(
        "errorMessage" = {"additionalProperties":"an unknown member",
        "required":{"email":"no address"}}
    )
)]
pub struct User {
    /// Where mail goes.
    #[schemars(
        extend(
            "unique" = true,
            "format" = "email",
            "errorMessage" = {"format":"no good address"}
        )
    )]
    pub email: String,
    #[serde(skip_serializing_if = "::modeller::__private::withholds")]
    #[schemars(extend("minLength" = 12))]
    pub password: Private<String>,
    #[serde(default)]
    #[schemars(extend("index" = true))]
    pub role: Role,
    #[serde(default = "User::__default_type")]
    #[schemars(extend("minimum" = 0, "maximum" = 10))]
    r#type: u8,
}
#[allow(dead_code, non_upper_case_globals, private_interfaces)]
impl User {
    /// The id of a document.
    pub const _ID: ::modeller::__private::Field<
        User,
        ::modeller::__private::Id<User>,
        ::modeller::__private::Unique,
    > = ::modeller::__private::Field::new("_id");
    /// Where mail goes.
    pub const EMAIL: ::modeller::__private::Field<
        User,
        String,
        ::modeller::__private::Unique,
    > = ::modeller::__private::Field::new("email");
    /// The field `password` of [`User`].
    pub const PASSWORD: ::modeller::__private::Field<
        User,
        Private<String>,
        ::modeller::__private::Plain,
    > = ::modeller::__private::Field::new("password");
    /// The field `role` of [`User`].
    pub const ROLE: ::modeller::__private::Field<
        User,
        Role,
        ::modeller::__private::Plain,
    > = ::modeller::__private::Field::new("role");
    /// The field `type` of [`User`].
    const TYPE: ::modeller::__private::Field<User, u8, ::modeller::__private::Plain> = ::modeller::__private::Field::new(
        "type",
    );
    #[doc(hidden)]
    fn __default_type() -> u8 {
        3
    }
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
                "password" => {
                    ::core::option::Option::Some(
                        (&::modeller::__private::Probe(&self.password)).view(),
                    )
                }
                "role" => {
                    ::core::option::Option::Some(
                        (&::modeller::__private::Probe(&self.role)).view(),
                    )
                }
                "type" => {
                    ::core::option::Option::Some(
                        (&::modeller::__private::Probe(&self.r#type)).view(),
                    )
                }
                _ => ::core::option::Option::None,
            }
        }
        fn slots(&self) -> usize {
            4usize
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
                1usize => {
                    ::core::option::Option::Some((
                        "password",
                        (&::modeller::__private::Probe(&self.password)).view(),
                    ))
                }
                2usize => {
                    ::core::option::Option::Some((
                        "role",
                        (&::modeller::__private::Probe(&self.role)).view(),
                    ))
                }
                3usize => {
                    ::core::option::Option::Some((
                        "type",
                        (&::modeller::__private::Probe(&self.r#type)).view(),
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
            own: &["email", "password", "role", "type"],
            flattened: &[],
        };
    }
    #[automatically_derived]
    impl ::modeller::__private::ModelType for User {
        const DECLARATION: &'static ::modeller::__private::ModelDeclaration = &::modeller::__private::ModelDeclaration {
            id: "users",
            access: ::modeller::__private::Visibility::Public,
            caller: false,
            client_ids: false,
            trash: ::core::option::Option::Some(::modeller::__private::RETENTION),
            fields: &[
                ::modeller::__private::FieldDeclaration {
                    name: "email",
                    unique: true,
                    index: false,
                    private: false,
                    protected: false,
                },
                ::modeller::__private::FieldDeclaration {
                    name: "password",
                    unique: false,
                    index: false,
                    private: true,
                    protected: false,
                },
                ::modeller::__private::FieldDeclaration {
                    name: "role",
                    unique: false,
                    index: true,
                    private: false,
                    protected: false,
                },
                ::modeller::__private::FieldDeclaration {
                    name: "type",
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
    #[::modeller::__private::linkme::distributed_slice(
        ::modeller::__private::DECLARATIONS
    )]
    #[linkme(crate = ::modeller::__private::linkme)]
    static DECLARATION: ::modeller::__private::Declaration = ::modeller::__private::Declaration::Model(
        <User as ::modeller::__private::ModelType>::DECLARATION,
    );
    const _: fn() = || {
        fn indexable<
            T: ?::core::marker::Sized + ::modeller::__private::keywords::Indexable,
        >() {}
        fn text<T: ?::core::marker::Sized + ::modeller::__private::keywords::Text>() {}
        fn number<T: ?::core::marker::Sized + ::modeller::__private::keywords::Number>() {}
        indexable::<String>();
        text::<String>();
        text::<Private<String>>();
        indexable::<Role>();
        number::<u8>();
    };
};
