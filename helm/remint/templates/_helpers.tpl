{{- define "remint.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters: room for the suffixes of the objects that hang on it. */}}
{{- define "remint.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "remint.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "remint.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes in a release's life: selectors are immutable. */}}
{{- define "remint.selectorLabels" -}}
app.kubernetes.io/name: {{ include "remint.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: serve
{{- end -}}

{{- define "remint.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "remint.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: remint
{{- with (include "remint.state" . | fromYaml).pipeline }}
remint/pipeline: {{ . }}
{{- end }}
{{- end -}}

{{- define "remint.image" -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- end -}}

{{- define "remint.claim" -}}
{{- default (printf "%s-store" (include "remint.fullname" .)) .Values.store.sqlite.existingClaim -}}
{{- end -}}

{{/* Whether more than one pod may run at the same time. */}}
{{- define "remint.scales" -}}
{{- if and (eq .Values.store.kind "url") (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) -}}true{{- end -}}
{{- end -}}

{{- define "remint.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "remint.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
