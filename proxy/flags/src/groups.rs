//! Which groups a request is in, and who asks: known once for all flags.

use std::{
    borrow::Cow,
    cell::{Cell, OnceCell},
    sync::Arc,
};

use gnomon_config::{
    Config,
    model::{
        Condition, Share,
        flag::{Group, Place},
    },
};

use crate::{Context, Hasher};

/// The groups, compiled.
#[derive(Debug)]
pub(crate) struct Groups {
    config: Arc<Config>,
    hashers: Box<[Hasher]>,
    alike: Box<[Alike]>,
}

/// Groups that one value alone tells apart: it is looked for once for all of them.
#[derive(Debug)]
struct Alike {
    place: Place,
    /// A bit for each of them.
    groups: u64,
    /// Values, each with the groups that it stands for.
    texts: Vec<(Arc<str>, u64)>,
}

impl Alike {
    /// Its place and values, if a group asks for nothing but one of them.
    fn of(group: &Group) -> Option<(&Place, &[Arc<str>])> {
        let [(place, Condition::OneOf(texts))] = &group.conditions[..] else { return None };
        let is_all = group.clients.is_empty()
            && group.any.is_empty()
            && group.users.is_none()
            && group.share.is_none();
        is_all.then_some((place, texts))
    }

    fn all(groups: &[Group]) -> Box<[Self]> {
        let mut all: Vec<Self> = Vec::new();
        for (group, at) in groups.iter().zip(0..) {
            let Some((place, texts)) = Self::of(group) else { continue };
            let known = all.iter().position(|alike| alike.place == *place);
            let known = known.unwrap_or_else(|| {
                all.push(Self { place: place.clone(), groups: 0, texts: Vec::new() });
                all.len() - 1
            });
            all[known].groups |= 1 << at;
            all[known].texts.extend(texts.iter().map(|text| (text.clone(), 1 << at)));
        }
        all.into()
    }

    /// Those of them that hold.
    fn held(&self, context: &impl Context) -> u64 {
        let mut held = 0;
        context.any(&self.place, |value| {
            for (text, groups) in &self.texts {
                if text.as_bytes() == value {
                    held |= groups;
                }
            }
            false
        });
        held
    }
}

/// What is known of a request so far: the groups that it is in or not, and its user. Each is asked
/// once.
#[derive(Debug, Default)]
pub struct Memberships {
    known: Cell<u64>,
    held: Cell<u64>,
    user: OnceCell<User>,
}

/// What tells a user apart by `flags.by`.
#[derive(Debug)]
enum User {
    Nobody,
    Short {
        length: usize,
        bytes: [u8; KEPT_MAX],
    },
    /// Too long to be kept.
    Long,
}

/// Bytes of a user's key that are kept: it is most often an identifier.
const KEPT_MAX: usize = 64;

impl User {
    fn of(key: Option<&[u8]>) -> Self {
        let Some(key) = key else { return Self::Nobody };
        let mut bytes = [0; KEPT_MAX];
        let Some(start) = bytes.get_mut(..key.len()) else { return Self::Long };
        start.copy_from_slice(key);
        Self::Short { length: key.len(), bytes }
    }
}

impl Memberships {
    /// What tells the user apart by `by`, which is that of all flags.
    pub(crate) fn user<'k>(
        &'k self,
        by: &'k Place,
        context: &'k impl Context,
        buffer: &'k mut [u8; 16],
    ) -> Option<Cow<'k, [u8]>> {
        let user = self.user.get_or_init(|| User::of(context.key(by, &mut [0; 16]).as_deref()));
        match user {
            User::Nobody => None,
            User::Short { length, bytes } => Some(Cow::Borrowed(&bytes[..*length])),
            User::Long => context.key(by, buffer),
        }
    }

    fn learn(&self, known: u64, held: u64) {
        self.known.set(self.known.get() | known);
        self.held.set(self.held.get() | held);
    }
}

impl Groups {
    pub(crate) fn new(config: &Arc<Config>) -> Self {
        let terms = &config.flags;
        let secret = &terms.secret.0;
        let hashers = terms.groups.iter().map(|group| Hasher::salted(&group.salt, secret));
        let alike = Alike::all(&terms.groups);
        Self { config: Arc::clone(config), hashers: hashers.collect(), alike }
    }

    /// Whether any of these groups, a bit for each, holds.
    #[inline]
    pub(crate) fn any(
        &self,
        wanted: u64,
        context: &impl Context,
        memberships: &Memberships,
    ) -> bool {
        let left = wanted & !memberships.known.get();
        memberships.held.get() & wanted != 0 || left != 0 && self.ask(left, context, memberships)
    }

    /// The same for groups of which nothing is known.
    fn ask(&self, mut left: u64, context: &impl Context, memberships: &Memberships) -> bool {
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            let alike = self.alike.iter().find(|alike| alike.groups & 1 << at != 0);
            let (known, held) = match alike {
                Some(alike) => (alike.groups, alike.held(context)),
                None => (1 << at, u64::from(self.holds(at, context, memberships)) << at),
            };
            memberships.learn(known, held);
            if held & left != 0 {
                return true;
            }
            left &= !known;
        }
        false
    }

    fn holds(&self, at: usize, context: &impl Context, memberships: &Memberships) -> bool {
        let Some(group) = self.config.flags.groups.get(at) else { return false };
        let any = group.any.iter().fold(0, |bits, group| bits | 1 << (group & 63));
        group.conditions.iter().all(|(place, condition)| match condition {
            Condition::Present(wanted) => context.any(place, |_| true) == *wanted,
            Condition::OneOf(texts) => {
                context.any(place, |value| texts.iter().any(|text| text.as_bytes() == value))
            }
            Condition::Regex(regex) => context.any(place, |value| regex.0.is_match(value)),
        }) && (group.clients.is_empty()
            || context.client().is_some_and(|ip| group.clients.iter().any(|net| net.contains(&ip))))
            && self.has_user(at, group, context)
            && (any == 0 || self.any(any, context, memberships))
    }

    fn has_user(&self, at: usize, group: &Group, context: &impl Context) -> bool {
        if group.users.is_none() && group.share.is_none() {
            return true;
        }
        let by = group.by.as_ref().or(self.config.flags.by.as_ref());
        let mut buffer = [0; 16];
        let Some(key) = by.and_then(|by| context.key(by, &mut buffer)) else { return false };
        let is_listed = |users: &Arc<[Box<str>]>| {
            users.binary_search_by(|user| user.as_bytes().cmp(&key)).is_ok()
        };
        group.users.as_ref().is_none_or(is_listed)
            && group.share.is_none_or(|share| {
                share == Share::WHOLE || self.hashers[at].position(&key) < share.0
            })
    }
}
