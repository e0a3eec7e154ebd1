{{/*
What a JSON Schema cannot say, or could be switched off with --skip-schema-validation. Each line names the value, what is
wrong with it and what to do. `remint serve` checks the state once more; here it stops a bad one before a pod is replaced.
*/}}
{{- define "remint.validate" -}}
{{- $wrong := list -}}
{{- if not .Values.image.repository -}}
  {{- $wrong = append $wrong "image.repository: is empty (--set image.repository=REPOSITORY)" -}}
{{- end -}}
{{- if not (regexMatch "^sha256:[0-9a-f]{64}$" (toString .Values.image.digest)) -}}
  {{- $wrong = append $wrong "image.digest: is not sha256: and 64 hex digits (--set image.digest=sha256:...; tags are not accepted)" -}}
{{- end -}}
{{- if eq .Values.store.kind "sqlite" -}}
  {{- if gt (int .Values.replicas) 1 -}}
    {{- $wrong = append $wrong "replicas: SQLite is one file for one pod; more than one replica would split the feedback (replicas: 1)" -}}
  {{- end -}}
  {{- if .Values.autoscaling.enabled -}}
    {{- $wrong = append $wrong "autoscaling.enabled: SQLite is one file for one pod (autoscaling.enabled: false)" -}}
  {{- end -}}
{{- else if eq .Values.store.kind "url" -}}
  {{- if not .Values.store.url.secret -}}
    {{- $wrong = append $wrong "store.url.secret: is empty (the Secret that holds REMINT_STORE_URL)" -}}
  {{- end -}}
{{- else -}}
  {{- $wrong = append $wrong (printf "store.kind: %q is neither sqlite nor url" (toString .Values.store.kind)) -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.replicas)) -}}
  {{- $wrong = append $wrong "autoscaling.maxReplicas: is less than replicas, the fewest that run" -}}
{{- end -}}
{{- if and (include "remint.scales" .) (not .Values.autoscaling.enabled) (ge (int .Values.podDisruptionBudget.minAvailable) (int .Values.replicas)) -}}
  {{- $wrong = append $wrong "podDisruptionBudget.minAvailable: must be less than replicas, or no node can ever be drained" -}}
{{- end -}}
{{- if ge (int .Values.shutdown.drainSeconds) (int .Values.shutdown.graceSeconds) -}}
  {{- $wrong = append $wrong "shutdown.drainSeconds: must be less than shutdown.graceSeconds, or the server is killed while it answers" -}}
{{- end -}}
{{- range $reserved := list "REMINT_STORE_URL" "REMINT_SERVICE_TOKEN" "REMINT_PREDICTION_KEY" -}}
  {{- range $.Values.env -}}
    {{- if eq .name $reserved -}}
      {{- $wrong = append $wrong (printf "env: %s is set by the chart (store.url.secret, keysSecret)" $reserved) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $key, $_ := .Values.podLabels -}}
  {{- if or (hasPrefix "app.kubernetes.io/" $key) (hasPrefix "remint/" $key) -}}
    {{- $wrong = append $wrong (printf "podLabels: %s belongs to the chart" $key) -}}
  {{- end -}}
{{- end -}}
{{- $wrong = concat $wrong (include "remint.wrongState" . | fromJsonArray) -}}
{{- if $wrong -}}
  {{- fail (printf "\n  %s" (join "\n  " $wrong)) -}}
{{- end -}}
{{- end -}}

{{/* The state as YAML, or {} where it is empty or not a mapping: "remint.wrongState" says so, and lint goes on. */}}
{{- define "remint.state" -}}
{{- $state := fromYaml (default "" .Values.state) -}}
{{- if hasKey $state "Error" -}}{}{{- else -}}{{ toYaml $state }}{{- end -}}
{{- end -}}

{{/* A JSON list of what is wrong with the state. */}}
{{- define "remint.wrongState" -}}
{{- $wrong := list -}}
{{- $keys := list "schema" "pipeline" "release" "stable" "canary" "steps" "step" -}}
{{- $state := include "remint.state" . | fromYaml -}}
{{- if not .Values.state -}}
  {{- $wrong = append $wrong "state: is empty (--set-file state=deploy/state.yaml)" -}}
{{- else if not $state -}}
  {{- $wrong = append $wrong "state: is not a YAML mapping (--set-file state=deploy/state.yaml)" -}}
{{- else -}}
  {{- range $key, $_ := $state -}}
    {{- if not (has $key (append $keys "runs")) -}}{{- $wrong = append $wrong (printf "state.%s: unknown key" $key) -}}{{- end -}}
  {{- end -}}
  {{- range $keys -}}
    {{- if not (hasKey $state .) -}}{{- $wrong = append $wrong (printf "state.%s: is missing" .) -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- if and $state (not $wrong) -}}
  {{- if not (regexMatch "^remint/state/1\\.[0-9]+$" (toString $state.schema)) -}}
    {{- $wrong = append $wrong (printf "state.schema: %v is not remint/state/1.x" $state.schema) -}}
  {{- end -}}
  {{- if not (and (regexMatch "^[a-z][a-z0-9]*(-[a-z0-9]+)*$" (toString $state.pipeline)) (le (len (toString $state.pipeline)) 40)) -}}
    {{- $wrong = append $wrong (printf "state.pipeline: %v is not a slug" $state.pipeline) -}}
  {{- end -}}
  {{- if not (regexMatch "^r[1-9][0-9]{0,8}$" (toString $state.release)) -}}
    {{- $wrong = append $wrong (printf "state.release: %v is not a release id such as r1" $state.release) -}}
  {{- end -}}
  {{- if not (regexMatch "^sha256:[0-9a-f]{64}$" (toString $state.stable)) -}}
    {{- $wrong = append $wrong "state.stable: is not a bundle id (sha256: and 64 hex digits)" -}}
  {{- end -}}
  {{- if and (not (kindIs "invalid" $state.canary)) (not (regexMatch "^sha256:[0-9a-f]{64}$" (toString $state.canary))) -}}
    {{- $wrong = append $wrong "state.canary: is neither null nor a bundle id (sha256: and 64 hex digits)" -}}
  {{- end -}}
  {{- if not (or (not (hasKey $state "runs")) (kindIs "map" $state.runs)) -}}
    {{- $wrong = append $wrong "state.runs: is not a mapping of bundle ids to runs" -}}
  {{- else -}}
    {{- range $bundle, $run := $state.runs -}}
      {{- if not (and (regexMatch "^sha256:[0-9a-f]{64}$" $bundle) (regexMatch "^[a-z][a-z0-9-]*-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}$" (toString $run))) -}}
        {{- $wrong = append $wrong (printf "state.runs: %s: %v is not a bundle id and its run" $bundle $run) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $whole := and (kindIs "float64" $state.step) (eq (floor $state.step) $state.step) -}}
  {{- if or (not (kindIs "slice" $state.steps)) (not $state.steps) -}}
    {{- $wrong = append $wrong "state.steps: is not a list of shares" -}}
  {{- else -}}
    {{- $before := 0.0 -}}
    {{- range $state.steps -}}
      {{- if not (kindIs "float64" .) -}}
        {{- $wrong = append $wrong (printf "state.steps: %v is not a number" .) -}}
      {{- else if or (le . $before) (gt . 1.0) -}}
        {{- $wrong = append $wrong (printf "state.steps: %v: shares rise from above 0 to at most 1" .) -}}
      {{- else -}}
        {{- $before = . -}}
      {{- end -}}
    {{- end -}}
    {{- if not $whole -}}
      {{- $wrong = append $wrong (printf "state.step: %v is not a whole number" $state.step) -}}
    {{- else if or (lt $state.step -1.0) (ge $state.step (float64 (len $state.steps))) -}}
      {{- $wrong = append $wrong (printf "state.step: %v is neither -1 nor an index of steps (0 to %d)" $state.step (sub (len $state.steps) 1)) -}}
    {{- else if and (kindIs "invalid" $state.canary) (ne $state.step -1.0) -}}
      {{- $wrong = append $wrong (printf "state.step: is %v, but there is no canary (-1 without one)" $state.step) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}
