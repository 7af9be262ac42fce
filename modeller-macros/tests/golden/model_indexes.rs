#[derive(
    ::core::clone::Clone,
    ::core::fmt::Debug,
    ::modeller::__private::serde::Serialize,
    ::modeller::__private::serde::Deserialize,
    ::modeller::__private::schemars::JsonSchema,
)]
#[serde(crate = "::modeller::__private::serde")]
#[schemars(crate = "::modeller::__private::schemars")]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(
    extend(
        "unique" = [["owner",
        "wireName"]],
        "index" = [["kind",
        "age",
        "secret"],
        ["age",
        "kind"]]
    )
)]
pub struct Thing {
    pub owner: Id<User>,
    pub wire_name: String,
    pub kind: Option<Kind>,
    pub age: u8,
    #[serde(skip_serializing_if = "::modeller::__private::withholds")]
    pub secret: Private<String>,
}
#[allow(dead_code, non_upper_case_globals, private_interfaces)]
impl Thing {
    /// The id of a document.
    pub const _ID: ::modeller::__private::Field<
        Thing,
        ::modeller::__private::Id<Thing>,
        ::modeller::__private::Unique,
    > = ::modeller::__private::Field::new("_id");
    /// The field `owner` of [`Thing`].
    pub const OWNER: ::modeller::__private::Field<
        Thing,
        Id<User>,
        ::modeller::__private::Plain,
    > = ::modeller::__private::Field::new("owner");
    /// The field `wire_name` of [`Thing`].
    pub const WIRE_NAME: ::modeller::__private::Field<
        Thing,
        String,
        ::modeller::__private::Plain,
    > = ::modeller::__private::Field::new("wireName");
    /// The field `kind` of [`Thing`].
    pub const KIND: ::modeller::__private::Field<
        Thing,
        Option<Kind>,
        ::modeller::__private::Plain,
    > = ::modeller::__private::Field::new("kind");
    /// The field `age` of [`Thing`].
    pub const AGE: ::modeller::__private::Field<
        Thing,
        u8,
        ::modeller::__private::Plain,
    > = ::modeller::__private::Field::new("age");
    /// The field `secret` of [`Thing`].
    pub const SECRET: ::modeller::__private::Field<
        Thing,
        Private<String>,
        ::modeller::__private::Plain,
    > = ::modeller::__private::Field::new("secret");
}
const _: () = {
    #[allow(unused_imports)]
    use ::modeller::__private::{BySerialize as _, ByView as _};
    #[automatically_derived]
    impl ::modeller::__private::ObjectRef for Thing {
        fn get(
            &self,
            name: &str,
        ) -> ::core::option::Option<::modeller::__private::ValueRef<'_>> {
            match name {
                "owner" => {
                    ::core::option::Option::Some(
                        (&::modeller::__private::Probe(&self.owner)).view(),
                    )
                }
                "wireName" => {
                    ::core::option::Option::Some(
                        (&::modeller::__private::Probe(&self.wire_name)).view(),
                    )
                }
                "kind" => {
                    ::core::option::Option::Some(
                        (&::modeller::__private::Probe(&self.kind)).view(),
                    )
                }
                "age" => {
                    ::core::option::Option::Some(
                        (&::modeller::__private::Probe(&self.age)).view(),
                    )
                }
                "secret" => {
                    ::core::option::Option::Some(
                        (&::modeller::__private::Probe(&self.secret)).view(),
                    )
                }
                _ => ::core::option::Option::None,
            }
        }
        fn slots(&self) -> usize {
            5usize
        }
        fn entry(
            &self,
            slot: usize,
        ) -> ::core::option::Option<(&str, ::modeller::__private::ValueRef<'_>)> {
            match slot {
                0usize => {
                    ::core::option::Option::Some((
                        "owner",
                        (&::modeller::__private::Probe(&self.owner)).view(),
                    ))
                }
                1usize => {
                    ::core::option::Option::Some((
                        "wireName",
                        (&::modeller::__private::Probe(&self.wire_name)).view(),
                    ))
                }
                2usize => {
                    ::core::option::Option::Some((
                        "kind",
                        (&::modeller::__private::Probe(&self.kind)).view(),
                    ))
                }
                3usize => {
                    ::core::option::Option::Some((
                        "age",
                        (&::modeller::__private::Probe(&self.age)).view(),
                    ))
                }
                4usize => {
                    ::core::option::Option::Some((
                        "secret",
                        (&::modeller::__private::Probe(&self.secret)).view(),
                    ))
                }
                _ => ::core::option::Option::None,
            }
        }
    }
    #[automatically_derived]
    impl ::modeller::__private::AsValue for Thing {
        fn as_value(&self) -> ::modeller::__private::ValueRef<'_> {
            ::modeller::__private::ValueRef::Object(self)
        }
    }
    #[automatically_derived]
    impl ::modeller::__private::Holds<Thing> for Thing {
        type Kind<K: ::modeller::__private::FieldKind> = K::Nested;
    }
    #[automatically_derived]
    impl ::modeller::__private::Record for Thing {
        const NAMES: &'static ::modeller::__private::Names = &::modeller::__private::Names {
            own: &["owner", "wireName", "kind", "age", "secret"],
            flattened: &[],
        };
    }
    #[automatically_derived]
    impl ::modeller::__private::ModelType for Thing {
        const DECLARATION: &'static ::modeller::__private::ModelDeclaration = &::modeller::__private::ModelDeclaration {
            id: "things",
            access: ::modeller::__private::Visibility::Internal,
            caller: false,
            client_ids: false,
            trash: ::core::option::Option::Some(::modeller::__private::RETENTION),
            fields: &[
                ::modeller::__private::FieldDeclaration {
                    name: "owner",
                    unique: false,
                    index: false,
                    private: false,
                    protected: false,
                },
                ::modeller::__private::FieldDeclaration {
                    name: "wireName",
                    unique: false,
                    index: false,
                    private: false,
                    protected: false,
                },
                ::modeller::__private::FieldDeclaration {
                    name: "kind",
                    unique: false,
                    index: false,
                    private: false,
                    protected: false,
                },
                ::modeller::__private::FieldDeclaration {
                    name: "age",
                    unique: false,
                    index: false,
                    private: false,
                    protected: false,
                },
                ::modeller::__private::FieldDeclaration {
                    name: "secret",
                    unique: false,
                    index: false,
                    private: true,
                    protected: false,
                },
            ],
            indexes: &[
                ::modeller::__private::IndexDeclaration {
                    fields: &["owner", "wireName"],
                    unique: true,
                },
                ::modeller::__private::IndexDeclaration {
                    fields: &["kind", "age", "secret"],
                    unique: false,
                },
                ::modeller::__private::IndexDeclaration {
                    fields: &["age", "kind"],
                    unique: false,
                },
            ],
            kind: ::modeller::__private::Kind::of::<Thing>(),
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
        <Thing as ::modeller::__private::ModelType>::DECLARATION,
    );
    const _: fn() = || {
        fn indexable<
            T: ?::core::marker::Sized + ::modeller::__private::keywords::Indexable,
        >() {}
        indexable::<Id<User>>();
        indexable::<String>();
        indexable::<Option<Kind>>();
        indexable::<u8>();
        indexable::<String>();
        indexable::<u8>();
        indexable::<Option<Kind>>();
    };
};
