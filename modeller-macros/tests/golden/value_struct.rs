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
pub struct Promote {
    #[schemars(extend("format" = "email"))]
    pub email: String,
}
#[allow(dead_code, non_upper_case_globals, private_interfaces)]
impl Promote {
    /// The field `email` of [`Promote`].
    pub const EMAIL: ::modeller::__private::Field<
        Promote,
        String,
        ::modeller::__private::Plain,
    > = ::modeller::__private::Field::new("email");
}
const _: () = {
    #[allow(unused_imports)]
    use ::modeller::__private::{BySerialize as _, ByView as _};
    #[automatically_derived]
    impl ::modeller::__private::ObjectRef for Promote {
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
    impl ::modeller::__private::AsValue for Promote {
        fn as_value(&self) -> ::modeller::__private::ValueRef<'_> {
            ::modeller::__private::ValueRef::Object(self)
        }
    }
    #[automatically_derived]
    impl ::modeller::__private::Holds<Promote> for Promote {
        type Kind<K: ::modeller::__private::FieldKind> = K::Nested;
    }
    #[automatically_derived]
    impl ::modeller::__private::Record for Promote {
        const NAMES: &'static ::modeller::__private::Names = &::modeller::__private::Names {
            own: &["email"],
            flattened: &[],
        };
    }
    const _: fn() = || {
        fn text<T: ?::core::marker::Sized + ::modeller::__private::keywords::Text>() {}
        text::<String>();
    };
};
