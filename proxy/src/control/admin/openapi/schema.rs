//! Types' sources read as JSON schemas: what serde does with them, as far as ours use it.

#![expect(clippy::wildcard_enum_match_arm, reason = "of all that Rust has, ours use little")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    rc::Rc,
};

use serde_json::{Map, Value, json};
use syn::{
    Attribute, Expr, Fields, GenericArgument, Item, Lit, Meta, PathArguments, Type, UseTree,
};

/// Items by module and name, and the schemas that were asked for.
pub(super) struct Sources {
    items: BTreeMap<(String, String), Rc<Item>>,
    schemas: BTreeMap<String, Value>,
    /// What a module has from crates that are not read here, by module and name.
    foreign: BTreeSet<(String, String)>,
}

/// What serde is told of a type, a field or a variant.
#[derive(Default)]
struct Serde {
    snake: bool,
    untagged: bool,
    optional: bool,
    skipped: bool,
    strict: bool,
    name: Option<String>,
}

impl Sources {
    pub(super) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = vec![root.join("src/control/api.rs")];
        for folder in ["src/control/api", "../shadow-worker/src"] {
            let entries = fs::read_dir(root.join(folder)).unwrap();
            files.extend(entries.map(|entry| entry.unwrap().path()));
        }
        files.extend(["saturation", "strain"].map(|it| root.join(format!("src/control/{it}.rs"))));
        let (mut items, mut foreign) = (BTreeMap::new(), BTreeSet::new());
        for file in files.iter().filter(|file| file.extension().is_some_and(|it| it == "rs")) {
            let module = file.file_stem().unwrap().to_string_lossy().into_owned();
            for item in syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap().items {
                if let Item::Use(it) = &item {
                    let from = root_of(&it.tree);
                    if from.starts_with("gnomon_") && from != "gnomon_shadow" {
                        leaves(&it.tree, &mut |name| {
                            foreign.insert((module.clone(), name));
                        });
                    }
                }
                let name = match &item {
                    Item::Struct(it) if is_told(&it.attrs) => it.ident.to_string(),
                    Item::Enum(it) if is_told(&it.attrs) => it.ident.to_string(),
                    Item::Type(it) => it.ident.to_string(),
                    _ => continue,
                };
                items.insert((module.clone(), name), Rc::new(item));
            }
        }
        Self { items, schemas: BTreeMap::new(), foreign }
    }

    pub(super) fn all(&self) -> &BTreeMap<String, Value> {
        &self.schemas
    }

    /// The schema of a type as it is written in Rust.
    pub(super) fn schema_of(&mut self, text: &str) -> Value {
        let of: Type = syn::parse_str(text).unwrap();
        self.of(&of, "api", &BTreeMap::new())
    }

    fn of(&mut self, of: &Type, home: &str, generics: &BTreeMap<String, Value>) -> Value {
        match of {
            Type::Path(path) => {
                let segments: Vec<_> = path.path.segments.iter().collect();
                let last = segments.last().unwrap();
                let mut inner = Vec::new();
                if let PathArguments::AngleBracketed(arguments) = &last.arguments {
                    for argument in &arguments.args {
                        if let GenericArgument::Type(of) = argument {
                            inner.push(self.of(of, home, generics));
                        }
                    }
                }
                let module = segments.len().checked_sub(2).map(|at| segments[at].ident.to_string());
                self.named(&last.ident.to_string(), module.as_deref(), home, inner, generics)
            }
            Type::Tuple(tuple) => {
                let items: Vec<Value> =
                    tuple.elems.iter().map(|of| self.of(of, home, generics)).collect();
                json!({ "type": "array", "prefixItems": items, "minItems": items.len(), "maxItems": items.len() })
            }
            Type::Array(array) => {
                json!({ "type": "array", "items": self.of(&array.elem, home, generics) })
            }
            Type::Slice(slice) => {
                json!({ "type": "array", "items": self.of(&slice.elem, home, generics) })
            }
            _ => json!({}),
        }
    }

    fn named(
        &mut self,
        name: &str,
        module: Option<&str>,
        home: &str,
        mut inner: Vec<Value>,
        generics: &BTreeMap<String, Value>,
    ) -> Value {
        if let Some(schema) = generics.get(name) {
            return schema.clone();
        }
        match name {
            "String" | "str" | "Name" | "IpAddr" | "SocketAddr" | "PathBuf" => {
                json!({ "type": "string" })
            }
            "bool" => json!({ "type": "boolean" }),
            "f64" | "f32" => json!({ "type": "number" }),
            "u8" | "u16" | "u32" | "u64" | "usize" => json!({ "type": "integer", "minimum": 0 }),
            "i8" | "i16" | "i32" | "i64" | "isize" => json!({ "type": "integer" }),
            "Value" => json!({}),
            "Arc" | "Box" => inner.pop().unwrap_or_default(),
            "Option" => json!({ "anyOf": [inner.pop(), { "type": "null" }] }),
            "Vec" | "BTreeSet" | "VecDeque" => json!({ "type": "array", "items": inner.pop() }),
            "BTreeMap" | "HashMap" | "Map" => {
                json!({ "type": "object", "additionalProperties": inner.pop().unwrap_or_else(|| json!({})) })
            }
            name => self.own(name, module, home, inner),
        }
    }

    /// A type of ours; of others, anything.
    fn own(&mut self, name: &str, module: Option<&str>, home: &str, inner: Vec<Value>) -> Value {
        if self.foreign.contains(&(home.to_owned(), name.to_owned())) {
            return json!({});
        }
        let homes = [module, Some(home), Some("api")].into_iter().flatten();
        let mut known = homes
            .map(|module| (module.to_owned(), name.to_owned()))
            .filter(|key| self.items.contains_key(key));
        let only = || {
            let mut all = self.items.keys().filter(|(_, known)| known == name);
            all.next().filter(|_| all.next().is_none()).cloned()
        };
        let Some(key) = known.next().or_else(only) else { return json!({}) };
        let item = self.items[&key].clone();
        if let Item::Type(alias) = &*item {
            return self.of(&alias.ty, &key.0, &BTreeMap::new());
        }
        if !inner.is_empty() {
            return self.item(&item, &key.0, inner);
        }
        let twins = self.items.keys().filter(|(_, known)| *known == key.1).count();
        let shown = if twins > 1 { format!("{}.{}", key.0, key.1) } else { key.1.clone() };
        if !self.schemas.contains_key(&shown) {
            // A type may hold itself.
            self.schemas.insert(shown.clone(), json!({}));
            let schema = self.item(&item, &key.0, Vec::new());
            self.schemas.insert(shown.clone(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{shown}") })
    }

    fn item(&mut self, item: &Item, home: &str, inner: Vec<Value>) -> Value {
        let mut schema = match item {
            Item::Struct(it) => {
                let names = it.generics.type_params().map(|param| param.ident.to_string());
                let generics = names.zip(inner).collect();
                self.fields(&it.fields, &serde(&it.attrs), home, &generics)
            }
            Item::Enum(it) => {
                let serde_of = serde(&it.attrs);
                let variants: Vec<Value> = it
                    .variants
                    .iter()
                    .map(|variant| {
                        let told = serde(&variant.attrs);
                        let name = variant.ident.to_string();
                        let name = told
                            .name
                            .unwrap_or_else(|| if serde_of.snake { snake(&name) } else { name });
                        let fields =
                            self.fields(&variant.fields, &Serde::default(), home, &BTreeMap::new());
                        match &variant.fields {
                            Fields::Unit => json!({ "const": name }),
                            _ if serde_of.untagged => fields,
                            _ => json!({
                                "type": "object",
                                "properties": { name.as_str(): fields },
                                "required": [name],
                            }),
                        }
                    })
                    .collect();
                json!({ "anyOf": variants })
            }
            _ => json!({}),
        };
        let attrs = match item {
            Item::Struct(it) => &it.attrs,
            Item::Enum(it) => &it.attrs,
            _ => return schema,
        };
        schema["description"] = json!(doc(attrs));
        schema
    }

    fn fields(
        &mut self,
        fields: &Fields,
        of: &Serde,
        home: &str,
        generics: &BTreeMap<String, Value>,
    ) -> Value {
        if let Fields::Unnamed(fields) = fields {
            return match fields.unnamed.first() {
                Some(field) if fields.unnamed.len() == 1 => self.of(&field.ty, home, generics),
                _ => json!({ "type": "array" }),
            };
        }
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in fields {
            let told = serde(&field.attrs);
            if told.skipped {
                continue;
            }
            let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
            let name = told.name.unwrap_or_else(|| name.trim_start_matches("r#").to_owned());
            let mut schema = self.of(&field.ty, home, generics);
            schema["description"] = json!(doc(&field.attrs));
            if !told.optional && !of.optional {
                required.push(name.clone());
            }
            properties.insert(name, schema);
        }
        let mut schema =
            json!({ "type": "object", "properties": properties, "required": required });
        if of.strict {
            schema["additionalProperties"] = json!(false);
        }
        schema
    }
}

/// The first name of a path that is imported.
fn root_of(tree: &UseTree) -> String {
    match tree {
        UseTree::Path(path) => path.ident.to_string(),
        _ => String::new(),
    }
}

/// Every name that is imported.
fn leaves(tree: &UseTree, found: &mut impl FnMut(String)) {
    match tree {
        UseTree::Path(path) => leaves(&path.tree, found),
        UseTree::Name(name) => found(name.ident.to_string()),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, found)),
        UseTree::Rename(_) | UseTree::Glob(_) => {}
    }
}

/// Whether a type is written as JSON at all.
fn is_told(attrs: &[Attribute]) -> bool {
    attrs.iter().filter(|attr| attr.path().is_ident("derive")).any(|attr| {
        let mut found = false;
        // What is not understood is not a derive of ours.
        let _ = attr.parse_nested_meta(|meta| {
            let last = meta.path.segments.last().map(|it| it.ident.to_string());
            found |= last.is_some_and(|it| it == "Serialize" || it == "Deserialize");
            Ok(())
        });
        found
    })
}

fn serde(attrs: &[Attribute]) -> Serde {
    let mut told = Serde::default();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
        attr.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            let value = meta.value().and_then(|value| value.parse::<syn::LitStr>());
            let value = value.map(|text| text.value()).ok();
            match name.as_str() {
                "rename_all" => told.snake = value.as_deref() == Some("snake_case"),
                "rename" => told.name = value,
                "untagged" => told.untagged = true,
                "default" | "skip_serializing_if" => told.optional = true,
                "skip" => told.skipped = true,
                "deny_unknown_fields" => told.strict = true,
                "expecting" | "with" => {}
                other => panic!("`serde({other})` is not understood here"),
            }
            Ok(())
        })
        .unwrap();
    }
    told
}

fn doc(attrs: &[Attribute]) -> String {
    let lines = attrs.iter().filter_map(|attr| {
        let Meta::NameValue(pair) = &attr.meta else { return None };
        let Expr::Lit(lit) = &pair.value else { return None };
        let Lit::Str(text) = &lit.lit else { return None };
        pair.path.is_ident("doc").then(|| text.value().trim().to_owned())
    });
    lines.collect::<Vec<_>>().join(" ")
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
