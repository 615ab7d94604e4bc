{{- define "otelcol-ebpf.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "otelcol-ebpf.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := include "otelcol-ebpf.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "otelcol-ebpf.selectorLabels" -}}
app.kubernetes.io/name: {{ include "otelcol-ebpf.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "otelcol-ebpf.labels" -}}
{{ include "otelcol-ebpf.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "otelcol-ebpf.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "otelcol-ebpf.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "otelcol-ebpf.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{- /* The Collector's configuration: config, and what optIn, contextPropagation and
extraExporters add to it. */}}
{{- define "otelcol-ebpf.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $receiver := dict }}
{{- if $config.receivers.ebpf }}
{{- $receiver = $config.receivers.ebpf }}
{{- end }}
{{- $rules := list }}
{{- range .Values.optIn.namespaces }}
{{- $rules = append $rules (dict "k8s" (dict "namespace" .)) }}
{{- end }}
{{- with .Values.optIn.namespaceLabels }}
{{- $rules = append $rules (dict "k8s" (dict "namespace_labels" .)) }}
{{- end }}
{{- if $rules }}
{{- $discovery := default dict $receiver.discovery }}
{{- $_ := set $discovery "include" (concat (default list $discovery.include) $rules) }}
{{- $_ := set $receiver "discovery" $discovery }}
{{- end }}
{{- with .Values.contextPropagation }}
{{- $_ := set $receiver "context_propagation" (dict "inject" .) }}
{{- end }}
{{- $_ := set $config.receivers "ebpf" $receiver }}
{{- range $name, $exporter := .Values.extraExporters }}
{{- $_ := set $config.exporters $name $exporter.config }}
{{- range $exporter.signals }}
{{- $pipeline := get $config.service.pipelines . }}
{{- if not $pipeline }}
{{- fail (printf "extraExporters: %s: config.service.pipelines has no %s" $name .) }}
{{- end }}
{{- $_ := set $pipeline "exporters" (append $pipeline.exporters $name) }}
{{- end }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- define "otelcol-ebpf.securityContext" -}}
runAsUser: 0
runAsGroup: 0
readOnlyRootFilesystem: true
{{- if .Values.privileged }}
privileged: true
{{- else }}
privileged: false
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
  add:
    - BPF
    - PERFMON
    - SYS_PTRACE
    - DAC_READ_SEARCH
    {{- if .Values.contextPropagation }}
    - NET_ADMIN
    {{- end }}
    {{- with .Values.extraCapabilities }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- with .Values.seccompProfile }}
seccompProfile:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.appArmorProfile }}
appArmorProfile:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The container, for the DaemonSet and for the sidecar's snippet. */}}
{{- define "otelcol-ebpf.container" -}}
name: otelcol-ebpf
image: {{ include "otelcol-ebpf.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [--config=/etc/otelcol-ebpf/config.yaml]
env:
  - name: K8S_NODE_NAME
    valueFrom:
      fieldRef:
        fieldPath: spec.nodeName
  {{- with .Values.goMemLimit }}
  - name: GOMEMLIMIT
    value: {{ . }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: metrics
    containerPort: {{ .Values.ports.metrics }}
  - name: telemetry
    containerPort: {{ .Values.ports.telemetry }}
  - name: health
    containerPort: {{ .Values.ports.health }}
livenessProbe:
  httpGet:
    path: /
    port: health
  periodSeconds: 15
  failureThreshold: 4
{{- /* Of a sidecar it would be the application's. */}}
{{- if eq .Values.mode "daemonset" }}
readinessProbe:
  httpGet:
    path: /
    port: health
  periodSeconds: 5
{{- end }}
startupProbe:
  httpGet:
    path: /
    port: health
  periodSeconds: 2
  failureThreshold: 30
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "otelcol-ebpf.securityContext" . | nindent 2 }}
volumeMounts:
  - name: config
    mountPath: /etc/otelcol-ebpf
    readOnly: true
  {{- if .Values.contextPropagation }}
  - name: cgroup
    mountPath: /sys/fs/cgroup
    readOnly: true
  {{- end }}
  {{- range $path, $secret := .Values.secretMounts }}
  - name: secret-{{ $secret }}
    mountPath: {{ $path }}
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "otelcol-ebpf.volumes" -}}
- name: config
  configMap:
    name: {{ include "otelcol-ebpf.fullname" . }}
{{- if .Values.contextPropagation }}
# The root of the hierarchy: a container's own view is a part of it only.
- name: cgroup
  hostPath:
    path: /sys/fs/cgroup
    type: Directory
{{- end }}
{{- range $secret := .Values.secretMounts | values | uniq | sortAlpha }}
- name: secret-{{ $secret }}
  secret:
    secretName: {{ $secret }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
