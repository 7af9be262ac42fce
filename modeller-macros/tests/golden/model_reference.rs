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
struct Member {
    #[schemars(extend("model" = Member::__reference_team(), "onDelete" = "cascade"))]
    team: Id<Team>,
    #[schemars(extend("model" = Member::__reference_user()))]
    user: String,
}
#[allow(dead_code, non_upper_case_globals, private_interfaces)]
impl Member {
    /// The id of a document.
    const _ID: ::modeller::__private::Field<
        Member,
        ::modeller::__private::Id<Member>,
        ::modeller::__private::Unique,
    > = ::modeller::__private::Field::new("_id");
    /// The field `team` of [`Member`].
    const TEAM: ::modeller::__private::Field<
        Member,
        Id<Team>,
        ::modeller::__private::Plain,
    > = ::modeller::__private::Field::new("team");
    /// The field `user` of [`Member`].
    const USER: ::modeller::__private::Field<
        Member,
        String,
        ::modeller::__private::Plain,
    > = ::modeller::__private::Field::new("user");
    #[doc(hidden)]
    fn __reference_team() -> ::std::string::String {
        ::modeller::__private::reference::<Id<Team>, _, _, _>(Team::_ID)
    }
    #[doc(hidden)]
    fn __reference_user() -> ::std::string::String {
        ::modeller::__private::reference::<String, _, _, _>(crate::User::EMAIL)
    }
}
const _: () = {
    #[allow(unused_imports)]
    use ::modeller::__private::{BySerialize as _, ByView as _};
    #[automatically_derived]
    impl ::modeller::__private::ObjectRef for Member {
        fn get(
            &self,
            name: &str,
        ) -> ::core::option::Option<::modeller::__private::ValueRef<'_>> {
            match name {
                "team" => {
                    ::core::option::Option::Some(
                        (&::modeller::__private::Probe(&self.team)).view(),
                    )
                }
                "user" => {
                    ::core::option::Option::Some(
                        (&::modeller::__private::Probe(&self.user)).view(),
                    )
                }
                _ => ::core::option::Option::None,
            }
        }
        fn slots(&self) -> usize {
            2usize
        }
        fn entry(
            &self,
            slot: usize,
        ) -> ::core::option::Option<(&str, ::modeller::__private::ValueRef<'_>)> {
            match slot {
                0usize => {
                    ::core::option::Option::Some((
                        "team",
                        (&::modeller::__private::Probe(&self.team)).view(),
                    ))
                }
                1usize => {
                    ::core::option::Option::Some((
                        "user",
                        (&::modeller::__private::Probe(&self.user)).view(),
                    ))
                }
                _ => ::core::option::Option::None,
            }
        }
    }
    #[automatically_derived]
    impl ::modeller::__private::AsValue for Member {
        fn as_value(&self) -> ::modeller::__private::ValueRef<'_> {
            ::modeller::__private::ValueRef::Object(self)
        }
    }
    #[automatically_derived]
    impl ::modeller::__private::Holds<Member> for Member {
        type Kind<K: ::modeller::__private::FieldKind> = K::Nested;
    }
    #[automatically_derived]
    impl ::modeller::__private::Record for Member {
        const NAMES: &'static ::modeller::__private::Names = &::modeller::__private::Names {
            own: &["team", "user"],
            flattened: &[],
        };
    }
    #[automatically_derived]
    impl ::modeller::__private::ModelType for Member {
        const DECLARATION: &'static ::modeller::__private::ModelDeclaration = &::modeller::__private::ModelDeclaration {
            id: "members",
            access: ::modeller::__private::Visibility::Internal,
            caller: false,
            client_ids: false,
            trash: ::core::option::Option::Some(::modeller::__private::RETENTION),
            fields: &[
                ::modeller::__private::FieldDeclaration {
                    name: "team",
                    unique: false,
                    index: false,
                    private: false,
                    protected: false,
                },
                ::modeller::__private::FieldDeclaration {
                    name: "user",
                    unique: false,
                    index: false,
                    private: false,
                    protected: false,
                },
            ],
            indexes: &[],
            kind: ::modeller::__private::Kind::of::<Member>(),
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
        <Member as ::modeller::__private::ModelType>::DECLARATION,
    );
};
