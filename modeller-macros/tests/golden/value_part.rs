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
pub struct Card {
    pub email: String,
    pub role: Role,
}
#[allow(dead_code, non_upper_case_globals, private_interfaces)]
impl Card {
    /// The field `email` of [`Card`].
    pub const EMAIL: ::modeller::__private::Field<
        Card,
        String,
        ::modeller::__private::Plain,
    > = ::modeller::__private::Field::new("email");
    /// The field `role` of [`Card`].
    pub const ROLE: ::modeller::__private::Field<
        Card,
        Role,
        ::modeller::__private::Plain,
    > = ::modeller::__private::Field::new("role");
}
const _: () = {
    #[allow(unused_imports)]
    use ::modeller::__private::{BySerialize as _, ByView as _};
    #[automatically_derived]
    impl ::modeller::__private::ObjectRef for Card {
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
                "role" => {
                    ::core::option::Option::Some(
                        (&::modeller::__private::Probe(&self.role)).view(),
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
                        "email",
                        (&::modeller::__private::Probe(&self.email)).view(),
                    ))
                }
                1usize => {
                    ::core::option::Option::Some((
                        "role",
                        (&::modeller::__private::Probe(&self.role)).view(),
                    ))
                }
                _ => ::core::option::Option::None,
            }
        }
    }
    #[automatically_derived]
    impl ::modeller::__private::AsValue for Card {
        fn as_value(&self) -> ::modeller::__private::ValueRef<'_> {
            ::modeller::__private::ValueRef::Object(self)
        }
    }
    #[automatically_derived]
    impl ::modeller::__private::Holds<Card> for Card {
        type Kind<K: ::modeller::__private::FieldKind> = K::Nested;
    }
    #[automatically_derived]
    impl ::modeller::__private::Record for Card {
        const NAMES: &'static ::modeller::__private::Names = &::modeller::__private::Names {
            own: &["email", "role"],
            flattened: &[],
        };
    }
    #[automatically_derived]
    impl ::modeller::__private::PartOf<models::User> for Card {
        fn part_of(value: &models::User) -> Self {
            Self {
                email: ::core::clone::Clone::clone(&value.email),
                role: ::core::clone::Clone::clone(&value.role),
            }
        }
    }
};
