//! Ways to break the good configuration.

/// A certificate of X.509 version 1, as `openssl x509 -req` makes it without extensions.
pub(super) const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBMDCB1wIUFADMvx8CxjS8O4eIdr8narHcIL8wCgYIKoZIzj0EAwIwGjEYMBYG\n\
A1UEAwwPYXBwLmV4YW1wbGUuY29tMCAXDTI2MTEyOTAwMTg0MloYDzIxMjYxMTA1\n\
MDAxODQyWjAaMRgwFgYDVQQDDA9hcHAuZXhhbXBsZS5jb20wWTATBgcqhkjOPQIB\n\
BggqhkjOPQMBBwNCAARinbPxH3D9vOe4QzMMJ3T9VbLfkBH1nCEceo+DBRG27HVx\n\
w0Wk49xXfQI7Jt3cdBv73clueuvLmdRJe/mqhyG6MAoGCCqGSM49BAMCA0gAMEUC\n\
IQDrDMdBaP2AZTCJzvWb82S3cDl72P4hpPz+oGzitCgXFQIgdWtVf3muX+cXpq6u\n\
qy5vT3y/43gEUm0f4CjWomLI8Qg=\n\
-----END CERTIFICATE-----\n\
";

/// One way to break [`GOOD`](super::GOOD): what is replaced by what, and the key and words of the error.
pub(super) type Breakage = (&'static str, &'static str, &'static str, &'static str);

/// All of them.
pub(super) const ALL: &[&[Breakage]] =
    &[FORM, NETWORK, CERTIFICATES, ICONS, APPS, RULES, LIMITS, STORES];

/// Form.
const FORM: &[Breakage] = &[
    (
        "idle = \"30m\"",
        "idle = 30",
        "sessions.idle",
        "expected a text in quotes, found a whole number",
    ),
    ("idle = \"30m\"", "ilde = \"30m\"", "sessions.ilde", "did you mean `idle`?"),
    ("[sessions]", "[session]", "session", "did you mean `sessions`?"),
    ("idle = \"30m\"", "idle = ", "", "not TOML"),
    ("idle = \"30m\"", "idle = \"30\"", "sessions.idle", "not a duration"),
    ("min_length = 8", "min_length = -8", "passwords.min_length", "out of range"),
    ("min_length = 8", "memory = \"19MB\"", "passwords.memory", "not a size"),
    (
        "[log]",
        "[second_factor.webauthn]\nrp_id = \"example.org\"\n[log]",
        "second_factor.webauthn.rp_id",
        "\"example.org\" is not a parent domain of cellengine.example.com",
    ),
    (
        "[log]",
        "[second_factor.webauthn]\nrp_id = \"a.cellengine.example.com\"\n[log]",
        "second_factor.webauthn.rp_id",
        "is not a parent domain of",
    ),
    (
        "[log]",
        "[second_factor.webauthn]\nrp_id = \"engine.example.com\"\n[log]",
        "second_factor.webauthn.rp_id",
        "is not a parent domain of",
    ),
    (
        "[log]",
        "[second_factor.webauthn]\nrp_id = \"com\"\n[log]",
        "second_factor.webauthn.rp_id",
        "\"com\" is a public suffix",
    ),
    (
        "[log]",
        "[second_factor.webauthn]\nrp_id = \"127.0.0.1\"\n[log]",
        "second_factor.webauthn.rp_id",
        "is not a domain name",
    ),
    (
        "[log]",
        "[second_factor.webauthn]\nrp_id = \"https://example.com\"\n[log]",
        "second_factor.webauthn.rp_id",
        "leave out scheme and path",
    ),
    (
        "[log]",
        "[second_factor.webauthn]\nrelated_origins = [\"https://app.example.org\"]\n[log]",
        "second_factor.webauthn.related_origins",
        "has no rp_id to be related to",
    ),
    (
        "[log]",
        "[second_factor.webauthn]\nrp_id = \"example.com\"\n\
         related_origins = [\"https://app.example.org\"]\n[log]",
        "second_factor.webauthn.related_origins[0]",
        "is not a host that asks for keys",
    ),
    (
        "[log]",
        "[second_factor.webauthn]\nuser_verification = \"always\"\n[log]",
        "second_factor.webauthn.user_verification",
        "write one of required, preferred, discouraged",
    ),
    (
        "[log]",
        "[second_factor.webauthn]\nmax_credentials = 0\n[log]",
        "second_factor.webauthn.max_credentials",
        "out of range",
    ),
    ("[log]", "[mail]\nfrom = \"a@b.c\"\n[log]", "mail.host", "is missing"),
    ("[log]", "[mail]\nhost = \"h\"\n[log]", "mail.from", "is not an address"),
    (
        "[log]",
        "[mail]\nhost = \"h\"\nfrom = \"a@b.c\"\ntime_zone = \"Zurich\"\n[log]",
        "mail.time_zone",
        "is not a time zone",
    ),
    (
        "[log]",
        "[mail]\nhost = \"h\"\nfrom = \"a@b.c\"\nuser = \"u\"\n[log]",
        "mail.user",
        "write both user and password",
    ),
    (
        "[log]",
        "[mail]\nhost = \"h\"\nfrom = \"a@b.c\"\ntls = \"ssl\"\n[log]",
        "mail.tls",
        "write one of starttls, tls, none",
    ),
    ("[log]", "[audit]\nretention = \"1h\"\n[log]", "audit.retention", "at least \"1d\""),
    ("[log]", "[audit]\nnode = \"a b\"\n[log]", "audit.node", "is not a name"),
    ("[log]", "[audit]\nfile = \"\"\n[log]", "audit.file", "write \"stdout\" or a file"),
];

/// Listeners and network.
const NETWORK: &[Breakage] = &[
    ("kind = \"https\"", "kind = \"htps\"", "listeners[0].kind", "did you mean \"https\"?"),
    ("kind = \"https\"", "", "listeners[0].kind", "is missing"),
    ("kind = \"https\"", "kind = \"redirect\"", "listeners", "none of them serves the apps"),
    ("127.0.0.1:8443", "localhost:8443", "listeners[0].address", "not an IP address and port"),
    (
        "[network]",
        "[[listeners]]\naddress = \"127.0.0.1:8443\"\nkind = \"http\"\n[network]",
        "listeners[1].address",
        "taken by another listener",
    ),
    (
        "[network]",
        "[admin]\naddress = \"127.0.0.1:8443\"\n[network]",
        "admin.address",
        "port of their own",
    ),
    (
        "trusted_proxies = []",
        "trusted_proxies = [\"10.0.0.0/8\", \"0.0.0.0/0\"]",
        "network.trusted_proxies[1]",
        "would trust every address",
    ),
    (
        "trusted_proxies = []",
        "trusted_proxies = [\"::/0\"]",
        "network.trusted_proxies[0]",
        "would trust every address",
    ),
    (
        "trusted_proxies = []",
        "trusted_proxies = [\"10.0.0.0/40\"]",
        "network.trusted_proxies[0]",
        "not a network",
    ),
    (
        "trusted_proxies = []",
        "trusted_proxies = [\"0.0.0.0/1\", \"10.0.0.0/8\", \"128.0.0.0/1\"]",
        "network.trusted_proxies",
        "would together trust every address",
    ),
    (
        "trusted_proxies = []",
        "trusted_proxies = [\"2000::/4\", \"3000::/4\"]",
        "network.trusted_proxies",
        "would together trust every address",
    ),
    (
        "trusted_proxies = []",
        "proxy_protocol = true",
        "network.proxy_protocol",
        "is read from trusted proxies only",
    ),
];

/// Icons.
const ICONS: &[Breakage] = &[
    (
        "hosts = [\"cellengine.example.com\"]",
        "icon = \"vestibule.toml\"\nhosts = [\"cellengine.example.com\"]",
        "apps[0].icon",
        "vestibule.toml is not an icon: name a PNG, JPEG, WebP, GIF or SVG file of at most 64 KiB",
    ),
    (
        "hosts = [\"cellengine.example.com\"]",
        "icon = \"icons/none.png\"\nhosts = [\"cellengine.example.com\"]",
        "apps[0].icon",
        "icons/none.png cannot be read",
    ),
];

/// Certificates.
const CERTIFICATES: &[Breakage] = &[
    (
        "cert = \"certs/cellengine.pem\"",
        "cert = \"certs/none.pem\"",
        "certificates[0].cert",
        "cannot be read",
    ),
    (
        "key = \"certs/cellengine.key\"",
        "key = \"certs/none.key\"",
        "certificates[0].key",
        "cannot be read",
    ),
    (
        "key = \"certs/cellengine.key\"",
        "key = \"certs/other.key\"",
        "certificates[0].key",
        "is not the key of",
    ),
    (
        "key = \"certs/cellengine.key\"",
        "key = \"vestibule.toml\"",
        "certificates[0].key",
        "holds no private key",
    ),
    (
        "cert = \"certs/cellengine.pem\"",
        "cert = \"vestibule.toml\"",
        "certificates[0].cert",
        "holds no certificate",
    ),
    (
        "cert = \"certs/cellengine.pem\"",
        "cert = \"certs/version1.pem\"",
        "certificates[0].cert",
        "certs/version1.pem is a certificate of X.509 version 1, which cannot name its hosts",
    ),
    (
        "cert = \"certs/cellengine.pem\"",
        "cert = \"certs/cut.pem\"",
        "certificates[0].cert",
        "certs/cut.pem has a CERTIFICATE block that is no X.509 certificate",
    ),
    (
        "key = \"certs/cellengine.key\"",
        "key = \"certs/locked.key\"",
        "certificates[0].key",
        "certs/locked.key holds a key that a passphrase protects",
    ),
    ("key = \"certs/cellengine.key\"", "", "certificates[0].key", "is missing"),
    (
        "[[certificates]]\ncert = \"certs/cellengine.pem\"\nkey = \"certs/cellengine.key\"",
        "",
        "certificates",
        "an https listener needs one",
    ),
];

/// Apps.
const APPS: &[Breakage] = &[
    ("hosts = [\"cellengine.example.com\"]", "", "apps[0].hosts", "is missing"),
    ("hosts = [\"cellengine.example.com\"]", "hosts = []", "apps[0].hosts", "is missing"),
    ("upstreams = [\"http://127.0.0.1:8080\"]", "", "apps[0].upstreams", "is missing"),
    ("name = \"cellengine\"", "", "apps[0].name", "is missing"),
    ("name = \"cellengine\"", "name = \"Cell Engine\"", "apps[0].name", "is not a name"),
    (
        "[\"cellengine.example.com\"]",
        "[\"a.com\", \"A.com\"]",
        "apps[0].hosts[1]",
        "belongs to the app",
    ),
    ("[\"cellengine.example.com\"]", "[\"a.com:8443\"]", "apps[0].hosts[0]", "leave out the port"),
    ("[\"cellengine.example.com\"]", "[\"*.a.com\"]", "public_url", "no exact host name"),
    ("http://127.0.0.1:8080", "127.0.0.1:8080", "apps[0].upstreams[0]", "write it like"),
    (
        "http://127.0.0.1:8080",
        "http://127.0.0.1:8080/app",
        "apps[0].upstreams[0]",
        "without a path",
    ),
    (
        "http://127.0.0.1:8080",
        "https://localhost:8443",
        "apps[0].upstreams[0]",
        "is the gateway itself (listeners[0])",
    ),
    (
        "[[apps.rules]]",
        "upstream_client_cert = \"certs/client.pem\"\n[[apps.rules]]",
        "apps[0].upstream_client_key",
        "is missing",
    ),
    (
        "[[apps.rules]]",
        "upstream_ca = \"certs/none.pem\"\n[[apps.rules]]",
        "apps[0].upstream_ca",
        "cannot be read",
    ),
    (
        "[[apps.rules]]",
        "upstream_host = \"https://app.example.net\"\n[[apps.rules]]",
        "apps[0].upstream_host",
        "leave out scheme and path",
    ),
    (
        "[[apps.rules]]",
        "upstream_host = \"app.example.net:0\"\n[[apps.rules]]",
        "apps[0].upstream_host",
        "has an invalid port",
    ),
    (
        "[[apps.rules]]",
        "upstream_host = \"*.example.net\"\n[[apps.rules]]",
        "apps[0].upstream_host",
        "is not a single host",
    ),
    (
        "upstreams = [\"http://127.0.0.1:8080\"]",
        "upstreams = [\"http://127.0.0.1:8080\", \"https://127.0.0.1\"]\nupstream_host = \"a.com\"",
        "apps[0].upstream_host",
        "all https or all http",
    ),
    (
        "[[apps.rules]]",
        "connect_timeout = \"0s\"\n[[apps.rules]]",
        "apps[0].connect_timeout",
        "greater than zero",
    ),
    (
        "[[apps.rules]]",
        "methods = [\"TRACE\"]\n[[apps.rules]]",
        "apps[0].methods[0]",
        "never forwarded",
    ),
    (
        "[[apps.rules]]",
        "api_paths = [\"api/**\"]\n[[apps.rules]]",
        "apps[0].api_paths[0]",
        "starts with `/`",
    ),
    (
        "[[apps.rules]]",
        "cors_origins = [\"*\"]\n[[apps.rules]]",
        "apps[0].cors_origins[0]",
        "is not an origin",
    ),
    (
        "[[apps.rules]]",
        "cors_origins = [\"https://a.com/x\"]\n[[apps.rules]]",
        "apps[0].cors_origins[0]",
        "without a path",
    ),
    (
        "[[apps.rules]]",
        "cors_preflight = \"forward\"\n[[apps.rules]]",
        "apps[0].cors_preflight",
        "write one of answer, pass",
    ),
    (
        "[[apps.rules]]",
        "api_errors = { error = \"\" }\n[[apps.rules]]",
        "apps[0].api_errors.error",
        "needs a message",
    ),
    (
        "[[apps.rules]]",
        "api_errors = { code = \"error\" }\n[[apps.rules]]",
        "apps[0].api_errors.code",
        "another field",
    ),
];

/// Rules.
const RULES: &[Breakage] = &[
    ("\"/public/**\"", "\"public/**\"", "apps[0].rules[0].path", "starts with `/`"),
    ("\"/public/**\"", "\"/public*\"", "apps[0].rules[0].path", "whole segments"),
    ("\"/public/**\"", "\"/**\"", "apps[0].rules[0].path", "whole app public"),
    ("\"/public/**\"", "\"/_auth/x\"", "apps[0].rules[0].path", "own pages"),
    ("path = \"/public/**\"", "", "apps[0].rules[0].path", "whole app public"),
    (
        "access = \"public\"",
        "access = \"public\"\nusers = [\"alice\"]",
        "apps[0].rules[0].users",
        "requires none",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\ngroups = [\"staff\"]",
        "apps[0].rules[0].groups",
        "requires none",
    ),
    (
        "access = \"public\"",
        "access = \"deny\"\nusers = [\"a b\"]",
        "apps[0].rules[0].users[0]",
        "not a login name",
    ),
    (
        "access = \"public\"",
        "access = \"deny\"\ngroups = [\"a,b\"]",
        "apps[0].rules[0].groups[0]",
        "not the name of a group",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nnetworks = [\"10.0.0.1/8\"]",
        "apps[0].rules[0].networks[0]",
        "write \"10.0.0.0/8\"",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nnetworks = [\"::ffff:10.0.0.0/104\"]",
        "apps[0].rules[0].networks[0]",
        "write it as IPv4",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nnetworks = []",
        "apps[0].rules[0].networks",
        "empty list",
    ),
    (
        "path = \"/public/**\"",
        "path = \"/*/**\"",
        "apps[0].rules[0].path",
        "would make the whole app public",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nhosts = [\"other.example.com\"]",
        "apps[0].rules[0].hosts[0]",
        "not among the app's hosts",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nmax_age = \"5m\"",
        "apps[0].rules[0].max_age",
        "it needs access = \"two_factor\"",
    ),
    (
        "access = \"public\"",
        "access = \"two_factor\"\nmax_age = \"0s\"",
        "apps[0].rules[0].max_age",
        "greater than zero",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nname = \"default\"",
        "apps[0].rules[0].name",
        "choose another name",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nname = \"a\"\n[[apps.rules]]\nname = \"a\"\naccess = \"deny\"",
        "apps[0].rules[1].name",
        "name of another rule",
    ),
    (
        "access = \"public\"",
        "access = \"publik\"",
        "apps[0].rules[0].access",
        "did you mean \"public\"?",
    ),
    ("access = \"public\"", "", "apps[0].rules[0].access", "is missing"),
    (
        "access = \"public\"",
        "access = \"public\"\nmethods = [\"get\"]",
        "apps[0].rules[0].methods[0]",
        "case-sensitive",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nmethods = [\"PROPFIND\"]",
        "apps[0].rules[0].methods[0]",
        "not among the app's methods",
    ),
    (
        "access = \"public\"",
        "access = \"public\"\nmethods = []",
        "apps[0].rules[0].methods",
        "empty list",
    ),
];

/// Limits.
const LIMITS: &[Breakage] = &[
    ("idle = \"30m\"", "idle = \"2h\"", "sessions.idle", "NIST"),
    ("idle = \"30m\"", "absolute = \"25h\"", "sessions.absolute", "allow_beyond_nist"),
    ("idle = \"30m\"", "absolute = \"10m\"", "sessions.absolute", "would have no effect"),
    ("idle = \"30m\"", "idle = \"0s\"", "sessions.idle", "greater than zero"),
    ("idle = \"30m\"", "pending = \"0s\"", "sessions.pending", "greater than zero"),
    ("min_length = 8", "min_length = 7", "passwords.min_length", "8 to 64"),
    ("min_length = 8", "memory = \"18MiB\"", "passwords.memory", "19MiB"),
    ("min_length = 8", "passes = 1", "passwords.passes", "2 to 64"),
    ("min_length = 8", "lanes = 0", "passwords.lanes", "1 to 16"),
    ("per_name = 10", "per_name = 0", "throttle.per_name", "1 to 100"),
    ("per_name = 10", "first_wait = \"0s\"", "throttle.first_wait", "greater than zero"),
    ("per_name = 10", "first_wait = \"2m\"", "throttle.first_wait", "longest_wait"),
    ("per_name = 10", "second_factor_most = 101", "throttle.second_factor_most", "1 to 100"),
    ("level = \"info\"", "level = \"verbose\"", "log.level", "write one of"),
    ("level = \"info\"", "format = \"jsn\"", "log.format", "did you mean \"json\"?"),
    (
        "[log]",
        "[second_factor]\nenrolment = \"tickets\"\n[log]",
        "second_factor.enrolment",
        "did you mean \"ticket\"?",
    ),
    ("[log]", "[tickets]\nlifetime = \"8days\"\n[log]", "tickets.lifetime", "7days"),
    ("[log]", "[tickets]\nlifetime = \"0s\"\n[log]", "tickets.lifetime", "greater than zero"),
];

/// Stores and keys.
const STORES: &[Breakage] = &[
    ("data_dir = \"data\"", "", "data_dir", "is missing: accounts are stored in it"),
    ("idle = \"30m\"", "store = \"redis\"", "redis", "needs [redis]"),
    (
        "[log]",
        "[redis]\nkey_prefix = \"a b\"\nurl = \"redis://127.0.0.1\"\n[log]",
        "redis.key_prefix",
        "not a prefix",
    ),
    ("[log]", "[redis]\n[log]", "redis.url", "is missing"),
    (
        "[log]",
        "[redis]\nurl = \"redis://127.0.0.1\"\ncluster = [\"redis://127.0.0.1\"]\n[log]",
        "redis.cluster",
        "redis.url is set, too: keep one of url, sentinel, cluster",
    ),
    (
        "[log]",
        "[redis]\nurl = \"redis://127.0.0.1\"\nsentinel = { service = \"a\", addresses = [\"b\"] }\n[log]",
        "redis.sentinel",
        "redis.url is set, too",
    ),
    ("[log]", "[redis]\ncluster = []\n[log]", "redis.cluster", "is empty"),
    (
        "[log]",
        "[redis]\ncluster = [\"redis://a\", \"http://b\"]\n[log]",
        "redis.cluster[1]",
        "redis:// or rediss://",
    ),
    (
        "[log]",
        "[redis]\ncluster = [\"redis://127.0.0.1/3\"]\n[log]",
        "redis.cluster[0]",
        "database 0 only",
    ),
    (
        "[log]",
        "[redis]\ncluster = [\"redis://u:p@a\", \"redis://u:q@b\"]\n[log]",
        "redis.cluster[1]",
        "another scheme, user or password",
    ),
    (
        "[log]",
        "[redis]\nsentinel = { addresses = [\"10.0.0.1\"] }\n[log]",
        "redis.sentinel.service",
        "is missing",
    ),
    (
        "[log]",
        "[redis]\nsentinel = { service = \"a\" }\n[log]",
        "redis.sentinel.addresses",
        "is missing",
    ),
    (
        "[log]",
        "[redis]\nsentinel = { service = \"a\", addresses = [\"a:b\"] }\n[log]",
        "redis.sentinel.addresses[0]",
        "not a host and a port",
    ),
    (
        "[log]",
        "[redis]\nsentinel = { service = \"a\", addresses = [\"a\"], user = \"u\" }\n[log]",
        "redis.sentinel.user",
        "needs a password: set redis.sentinel.password",
    ),
    (
        "[log]",
        "[accounts]\ndatabase = \"postgres://127.0.0.1/db\"\n[log]",
        "keys.file",
        "vestibule keys init",
    ),
    (
        "[log]",
        "[accounts]\ndatabase = { env = \"VESTIBULE_TEST_NO_SUCH\" }\n[log]",
        "accounts.database",
        "is not set",
    ),
    (
        "[log]",
        "[accounts]\ndatabase = { file = \"none\" }\n[log]",
        "accounts.database",
        "cannot be read",
    ),
    (
        "[log]",
        "[accounts]\ndatabase = { flie = \"none\" }\n[log]",
        "accounts.database",
        "{ file = \"path\" }",
    ),
    ("[log]", "[keys]\nfile = \"open.toml\"\n[log]", "keys.file", "chmod 600"),
    ("[log]", "[keys]\nfile = \"closed.toml\"\n[log]", "keys.file", "not a key file"),
];
