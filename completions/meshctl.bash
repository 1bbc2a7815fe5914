# bash completion of meshctl; written by `meshctl completion bash`
_meshctl() {
  local cur prev command flags i
  cur="${COMP_WORDS[COMP_CWORD]}"
  prev="${COMP_WORDS[COMP_CWORD-1]}"
  command=''
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "${COMP_WORDS[i]}" in
      -*) ;;
      *) if [ -z "$command" ]; then command="${COMP_WORDS[i]}"; else case "$command" in certs|policy|proxy) command="$command ${COMP_WORDS[i]}" ;; esac; break; fi ;;
    esac
  done
  case "$command $prev" in
    'demo -o'|'demo --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'up -o'|'up --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'status -o'|'status --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'top --by') COMPREPLY=($(compgen -W 'service instance edge route caller' -- "$cur")); return ;;
    'top -o'|'top --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'stat -o'|'stat --output') COMPREPLY=($(compgen -W 'table wide json' -- "$cur")); return ;;
    'edges -o'|'edges --output') COMPREPLY=($(compgen -W 'table wide json' -- "$cur")); return ;;
    'routes -o'|'routes --output') COMPREPLY=($(compgen -W 'table wide json' -- "$cur")); return ;;
    'tap -o'|'tap --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'watch -o'|'watch --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'metrics --compat') COMPREPLY=($(compgen -W 'linkerd istio' -- "$cur")); return ;;
    'metrics --print') COMPREPLY=($(compgen -W 'rules dashboard' -- "$cur")); return ;;
    'metrics -o'|'metrics --output') COMPREPLY=($(compgen -W 'text openmetrics' -- "$cur")); return ;;
    'trace -o'|'trace --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'certs init --key-type') COMPREPLY=($(compgen -W 'p256 p384 rsa2048 rsa3072 rsa4096 ed25519' -- "$cur")); return ;;
    'certs init -o'|'certs init --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'certs issue --kind') COMPREPLY=($(compgen -W 'peer server client ingress' -- "$cur")); return ;;
    'certs issue --layout') COMPREPLY=($(compgen -W 'meshctl tls spiffe-helper' -- "$cur")); return ;;
    'certs issue --key-type') COMPREPLY=($(compgen -W 'p256 p384 rsa2048 rsa3072 rsa4096 ed25519' -- "$cur")); return ;;
    'certs issue -o'|'certs issue --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'certs renew --signal') COMPREPLY=($(compgen -W 'HUP USR1 USR2 TERM INT' -- "$cur")); return ;;
    'certs renew -o'|'certs renew --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'certs rotate --key-type') COMPREPLY=($(compgen -W 'p256 p384 rsa2048 rsa3072 rsa4096 ed25519' -- "$cur")); return ;;
    'certs rotate -o'|'certs rotate --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'certs revoke --reason') COMPREPLY=($(compgen -W 'unspecified keyCompromise cACompromise superseded cessationOfOperation' -- "$cur")); return ;;
    'certs revoke -o'|'certs revoke --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'certs allow -o'|'certs allow --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'certs crl -o'|'certs crl --output') COMPREPLY=($(compgen -W 'pem json' -- "$cur")); return ;;
    'certs log --kind') COMPREPLY=($(compgen -W 'issued revoked blocked allowed authority list' -- "$cur")); return ;;
    'certs log -o'|'certs log --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'certs backup -o'|'certs backup --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'certs restore -o'|'certs restore --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'certs export --to') COMPREPLY=($(compgen -W 'p12 p7b der pem' -- "$cur")); return ;;
    'certs inspect -o'|'certs inspect --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'certs verify --purpose') COMPREPLY=($(compgen -W 'server client any' -- "$cur")); return ;;
    'certs verify --profile') COMPREPLY=($(compgen -W 'spiffe rfc5280' -- "$cur")); return ;;
    'certs verify -o'|'certs verify --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'certs lint --fail-on') COMPREPLY=($(compgen -W 'error warning info' -- "$cur")); return ;;
    'certs lint --profile') COMPREPLY=($(compgen -W 'spiffe rfc5280' -- "$cur")); return ;;
    'certs lint -o'|'certs lint --output') COMPREPLY=($(compgen -W 'table json sarif junit github markdown' -- "$cur")); return ;;
    'certs bundle -o'|'certs bundle --output') COMPREPLY=($(compgen -W 'pem spiffe table json' -- "$cur")); return ;;
    'certs list -o'|'certs list --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'policy lint --fail-on') COMPREPLY=($(compgen -W 'error warning info' -- "$cur")); return ;;
    'policy lint --show') COMPREPLY=($(compgen -W 'error warning info' -- "$cur")); return ;;
    'policy lint -o'|'policy lint --output') COMPREPLY=($(compgen -W 'table json sarif junit github markdown' -- "$cur")); return ;;
    'policy check --at') COMPREPLY=($(compgen -W 'sidecar ztunnel waypoint' -- "$cur")); return ;;
    'policy check -o'|'policy check --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'policy explain --at') COMPREPLY=($(compgen -W 'sidecar ztunnel waypoint' -- "$cur")); return ;;
    'policy explain -o'|'policy explain --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'policy verify -o'|'policy verify --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'policy test -o'|'policy test --output') COMPREPLY=($(compgen -W 'tap json junit' -- "$cur")); return ;;
    'policy diff --fail-if') COMPREPLY=($(compgen -W 'widened narrowed changed' -- "$cur")); return ;;
    'policy diff -o'|'policy diff --output') COMPREPLY=($(compgen -W 'table json markdown' -- "$cur")); return ;;
    'policy graph -o'|'policy graph --output') COMPREPLY=($(compgen -W 'table json dot mermaid svg' -- "$cur")); return ;;
    'policy import -o'|'policy import --output') COMPREPLY=($(compgen -W 'yaml json' -- "$cur")); return ;;
    'policy export --to') COMPREPLY=($(compgen -W 'istio linkerd kubernetes' -- "$cur")); return ;;
    'policy export -o'|'policy export --output') COMPREPLY=($(compgen -W 'yaml json' -- "$cur")); return ;;
    'policy convert --to') COMPREPLY=($(compgen -W 'long short' -- "$cur")); return ;;
    'policy apply --audit') COMPREPLY=($(compgen -W 'all' -- "$cur")); return ;;
    'policy apply -o'|'policy apply --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'policy rollback -o'|'policy rollback --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'policy denials -o'|'policy denials --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'policy replay -o'|'policy replay --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'policy learn -o'|'policy learn --output') COMPREPLY=($(compgen -W 'yaml json' -- "$cur")); return ;;
    'policy show -o'|'policy show --output') COMPREPLY=($(compgen -W 'yaml json' -- "$cur")); return ;;
    'policy history -o'|'policy history --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'proxy status -o'|'proxy status --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'proxy config -o'|'proxy config --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'proxy run -o'|'proxy run --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    'version -o'|'version --output') COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
  esac
  case "$command" in
    '') COMPREPLY=($(compgen -W 'demo init up down status logs top stat edges routes tap watch metrics trace certs schema policy proxy completion version --help --version' -- "$cur")); return ;;
    'certs') COMPREPLY=($(compgen -W 'init issue renew rotate revoke allow crl log backup restore export inspect verify lint bundle serve list' -- "$cur")); return ;;
    'policy') COMPREPLY=($(compgen -W 'lint check explain verify test diff graph import export fmt convert apply rollback denials replay learn show history' -- "$cur")); return ;;
    'proxy') COMPREPLY=($(compgen -W 'status config run' -- "$cur")); return ;;
    'completion') COMPREPLY=($(compgen -W 'bash zsh fish powershell' -- "$cur")); return ;;
  esac
  case "$command" in
    'demo') flags='-d --detach --duration --load --keep -o --output --help --debug --no-color' ;;
    'init') flags='--force --help --debug --no-color' ;;
    'up') flags='-f --file -d --detach --isolate --reset-policy --timeout --on-alert --alert-if --state -o --output --help --debug --no-color' ;;
    'down') flags='--state --help --debug --no-color' ;;
    'status') flags='--state -o --output --help --debug --no-color' ;;
    'logs') flags='-f --follow --tail --proxy --state --help --debug --no-color' ;;
    'top') flags='--by --interval --window --count --once --record --replay --state -o --output --help --debug --no-color' ;;
    'stat') flags='--from --to --window --since --until --compare --fail-if --objective --state -o --output --help --debug --no-color' ;;
    'edges') flags='--from --window --since --until --state -o --output --help --debug --no-color' ;;
    'routes') flags='--window --since --until --fail-if --state -o --output --help --debug --no-color' ;;
    'tap') flags='--from --method --path --status --min-duration --denied --header --max-rps --count --duration --state -o --output --help --debug --no-color' ;;
    'watch') flags='--fail-if --exec --interval --count --once --window --state -o --output --help --debug --no-color' ;;
    'metrics') flags='--listen --compat --print --objective --state -o --output --help --debug --no-color' ;;
    'trace') flags='--state -o --output --help --debug --no-color' ;;
    'certs init') flags='--trust-domain --key-type --root-life --intermediate-life --name-constraints --passphrase-file --insecure-no-passphrase --root-offline --root-cert --root-key --root-p --csr --intermediate-cert --force --dry-run --dir --state -o --output --help --debug --no-color' ;;
    'certs issue') flags='--out --kind --dns --ip --csr --from --ttl --layout --key-type --print-key --dry-run --dir --state -o --output --help --debug --no-color' ;;
    'certs renew') flags='--daemon --at --force --rekey --key --exec --signal --pid-file --error-unchanged --dir --state -o --output --help --debug --no-color' ;;
    'certs rotate') flags='--plan --step --rollback --accept-loss --emergency --root-key --root-cert --root-offline --passphrase-file --insecure-no-passphrase --key-type --root-life --intermediate-life --timeout --dry-run --dir --state -o --output --help --debug --no-color' ;;
    'certs revoke') flags='--reason --prove --timeout --dry-run --dir --state -o --output --help --debug --no-color' ;;
    'certs allow') flags='--timeout --dry-run --dir --state -o --output --help --debug --no-color' ;;
    'certs crl') flags='--out --sign-root --root-key --passphrase-file --dir --state -o --output --help --debug --no-color' ;;
    'certs log') flags='--limit --since --kind --match --check --expect --dir --state -o --output --help --debug --no-color' ;;
    'certs backup') flags='--passphrase-file --force --dry-run --dir --state -o --output --help --debug --no-color' ;;
    'certs restore') flags='--passphrase-file --force --dry-run --dir --state -o --output --help --debug --no-color' ;;
    'certs export') flags='--to --out --key --passphrase-file --force --help --debug --no-color' ;;
    'certs inspect') flags='--passphrase-file --short --state -o --output --help --debug --no-color' ;;
    'certs verify') flags='--roots --intermediates --crl --at --purpose --profile --identity --trust-domain --dns -o --output --help --debug --no-color' ;;
    'certs lint') flags='--fail-on --profile -o --output --help --debug --no-color' ;;
    'certs bundle') flags='--endpoint --endpoint-id --force --dir --state -o --output --help --debug --no-color' ;;
    'certs serve') flags='--listen --cert --key --dir --state --help --debug --no-color' ;;
    'certs list') flags='--expiring --dir --state -o --output --help --debug --no-color' ;;
    'schema') flags='--help --debug --no-color' ;;
    'policy lint') flags='--mesh --fail-on --show --rule --baseline --write-baseline --live --state --fix --mesh-version --root-namespace -o --output --help --debug --no-color' ;;
    'policy check') flags='--method --path --grpc --tcp --header --port --at --token --root-namespace --from-trace --policy --mesh --state -o --output --help --debug --no-color' ;;
    'policy explain') flags='--method --path --grpc --tcp --header --port --at --token --root-namespace --policy --mesh --state -o --output --help --debug --no-color' ;;
    'policy verify') flags='--mesh --state -o --output --help --debug --no-color' ;;
    'policy test') flags='--coverage --mesh --state --watch -o --output --help --debug --no-color' ;;
    'policy diff') flags='--fail-if --mesh --state -o --output --help --debug --no-color' ;;
    'policy graph') flags='--from --policy --mesh --state -o --output --help --debug --no-color' ;;
    'policy import') flags='--trust-domain --root-namespace -o --output --help --debug --no-color' ;;
    'policy export') flags='--to --label --mesh --state -o --output --help --debug --no-color' ;;
    'policy fmt') flags='--check --help --debug --no-color' ;;
    'policy convert') flags='--to --help --debug --no-color' ;;
    'policy apply') flags='--message --dry-run --audit --yes --timeout --state -o --output --help --debug --no-color' ;;
    'policy rollback') flags='--dry-run --timeout --state -o --output --help --debug --no-color' ;;
    'policy denials') flags='--since --audited --state -o --output --help --debug --no-color' ;;
    'policy replay') flags='--since --mesh --state -o --output --help --debug --no-color' ;;
    'policy learn') flags='--since --denied --state -o --output --help --debug --no-color' ;;
    'policy show') flags='--state -o --output --help --debug --no-color' ;;
    'policy history') flags='--state -o --output --help --debug --no-color' ;;
    'proxy status') flags='--state -o --output --help --debug --no-color' ;;
    'proxy config') flags='--state -o --output --help --debug --no-color' ;;
    'proxy run') flags='-f --file --dry-run -o --output --help --debug --no-color' ;;
    'completion') flags='--help --debug --no-color' ;;
    'version') flags='-o --output --help --debug --no-color' ;;
  esac
  case "$cur" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -f -- "$cur")) ;;
  esac
}
complete -o filenames -F _meshctl meshctl
