# PowerShell completion of meshctl; written by `meshctl completion powershell`
Register-ArgumentCompleter -Native -CommandName meshctl -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() } | Where-Object { $_ -notlike '-*' -and $_ -ne $wordToComplete })
  $tree = @{
    '' = @('demo', 'init', 'up', 'down', 'status', 'logs', 'top', 'stat', 'trace', 'certs', 'policy', 'proxy', 'completion', 'version')
    'certs' = @('issue', 'inspect', 'list')
    'policy' = @('lint', 'check', 'explain', 'verify', 'test', 'diff', 'graph', 'fmt', 'convert', 'apply', 'rollback', 'denials', 'replay', 'learn', 'show', 'history')
    'proxy' = @('status', 'config', 'run')
    'completion' = @('bash', 'zsh', 'fish', 'powershell')
    'demo -' = @('-d', '--detach', '--duration', '--load', '--keep', '-o', '--output', '--help', '--debug', '--no-color')
    'init -' = @('--force', '--help', '--debug', '--no-color')
    'up -' = @('-f', '--file', '-d', '--detach', '--isolate', '--reset-policy', '--timeout', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'down -' = @('--state', '--help', '--debug', '--no-color')
    'status -' = @('--state', '-o', '--output', '--help', '--debug', '--no-color')
    'logs -' = @('-f', '--follow', '--tail', '--proxy', '--state', '--help', '--debug', '--no-color')
    'top -' = @('--interval', '--window', '--count', '--once', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'stat -' = @('--window', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'trace -' = @('--state', '-o', '--output', '--help', '--debug', '--no-color')
    'certs issue -' = @('--out', '--ttl', '--print-key', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'certs inspect -' = @('-o', '--output', '--help', '--debug', '--no-color')
    'certs list -' = @('--state', '-o', '--output', '--help', '--debug', '--no-color')
    'policy lint -' = @('--mesh', '--fail-on', '--show', '--rule', '--baseline', '--write-baseline', '--fix', '--mesh-version', '--root-namespace', '-o', '--output', '--help', '--debug', '--no-color')
    'policy check -' = @('--method', '--path', '--grpc', '--tcp', '--header', '--port', '--at', '--token', '--root-namespace', '--from-trace', '--policy', '--mesh', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'policy explain -' = @('--method', '--path', '--grpc', '--tcp', '--header', '--port', '--at', '--token', '--root-namespace', '--policy', '--mesh', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'policy verify -' = @('--mesh', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'policy test -' = @('--coverage', '--mesh', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'policy diff -' = @('--fail-if', '--mesh', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'policy graph -' = @('--from', '--policy', '--mesh', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'policy fmt -' = @('--check', '--help', '--debug', '--no-color')
    'policy convert -' = @('--to', '--help', '--debug', '--no-color')
    'policy apply -' = @('--message', '--dry-run', '--audit', '--yes', '--timeout', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'policy rollback -' = @('--dry-run', '--timeout', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'policy denials -' = @('--since', '--audited', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'policy replay -' = @('--since', '--mesh', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'policy learn -' = @('--since', '--denied', '--state', '-o', '--output', '--help', '--debug', '--no-color')
    'policy show -' = @('--state', '-o', '--output', '--help', '--debug', '--no-color')
    'policy history -' = @('--state', '-o', '--output', '--help', '--debug', '--no-color')
    'proxy status -' = @('--state', '-o', '--output', '--help', '--debug', '--no-color')
    'proxy config -' = @('--state', '-o', '--output', '--help', '--debug', '--no-color')
    'proxy run -' = @('-f', '--file', '--dry-run', '-o', '--output', '--help', '--debug', '--no-color')
    'completion -' = @('--help', '--debug', '--no-color')
    'version -' = @('-o', '--output', '--help', '--debug', '--no-color')
  }
  $key = ($words | Select-Object -First 2) -join ' '
  if (-not $tree.ContainsKey($key) -and -not $tree.ContainsKey("$key -")) { $key = ($words | Select-Object -First 1) -join ' ' }
  if ($wordToComplete -like '-*') { $key = "$key -" }
  $tree[$key] | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object { [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }
}
