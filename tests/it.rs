//! The proxy from outside: bytes in, bytes out, on both drivers. One binary, so that it links once.

mod it {
    mod admin;
    mod admin_described;
    mod admin_security;
    mod certs;
    mod claims;
    mod connections;
    mod faults_disk;
    mod faults_machine;
    mod faults_names;
    mod faults_origins;
    mod faults_replies;
    mod fields;
    mod flag_compare;
    mod flag_control;
    mod flags;
    mod flags_agree;
    mod framing;
    mod guest;
    mod health;
    mod heirs;
    mod limits;
    mod log;
    mod log_filters;
    mod metrics;
    mod ofrep;
    mod overload;
    mod pool;
    mod proxy_protocol;
    mod rates;
    mod record;
    mod reload;
    mod rollout;
    mod rollout_by_user;
    mod rollout_fuse;
    mod rollout_hooks;
    mod rollout_kill;
    mod rollout_orders;
    mod routing;
    mod series;
    mod shadow;
    mod shadow_faults;
    mod shadow_findings;
    mod shadow_secrets;
    mod shadow_store;
    mod soak;
    mod spans;
    mod split;
    mod sticky;
    mod stop;
    mod tap;
    mod tls;
    mod top;
    mod trial;
    mod tunnel;
    mod upgrade;
    mod upgrade_fails;
    mod upgrade_rollout;
    mod uploads;
    mod watched;

    use e2e::Origin;

    /// A configuration that sends everything to one origin.
    fn to(origin: &Origin) -> String {
        format!("upstream.o.versions.v1 = [\"{}\"]\nroute.all.to = \"o\"\n", origin.address())
    }

    /// A configuration that splits everything between two.
    fn between(stable: &Origin, canary: &Origin, share: f64) -> String {
        format!(
            "upstream.shop.versions.v1 = [\"{}\"]\nupstream.shop.versions.v2 = [\"{}\"]\n\
             upstream.shop.split = {{ v1 = {}, v2 = {share} }}\nroute.all.to = \"shop\"\n",
            stable.address(),
            canary.address(),
            100.0 - share
        )
    }

    const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
}
