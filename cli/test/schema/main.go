// kubernetes-schema: whether an API server would take these resources.
//
//	kubernetes-schema FILE...
//
// Each document of each YAML or JSON file, and each item of a List, goes through the API server's
// own code: strict decoding into its types (unknown and double fields, wrong types), its defaults,
// and its validation of a new object. Prints a line for each; exit 1 if one is refused, or of a kind
// that is not in the table below.
//
// SPDX-License-Identifier: Apache-2.0
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/node"
	_ "k8s.io/kubernetes/pkg/apis/node/install"
	nodevalidation "k8s.io/kubernetes/pkg/apis/node/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"k8s.io/kubernetes/pkg/capabilities"
	"sigs.k8s.io/yaml"
)

func podOptions(t *core.PodTemplateSpec) corevalidation.PodValidationOptions {
	return podutil.GetValidationOptionsFromPodTemplate(t, nil)
}

// selectJob sets what the server makes up for a Job: its selector, and labels of its pods.
func selectJob(j *batch.Job) {
	if j.Spec.ManualSelector != nil && *j.Spec.ManualSelector {
		return
	}
	j.UID = "0"
	labels := j.Spec.Template.Labels
	if labels == nil {
		labels = map[string]string{}
		j.Spec.Template.Labels = labels
	}
	for _, prefix := range []string{"", "batch.kubernetes.io/"} {
		labels[prefix+"controller-uid"] = string(j.UID)
		labels[prefix+"job-name"] = j.Name
	}
	j.Spec.Selector = &metav1.LabelSelector{
		MatchLabels: map[string]string{"batch.kubernetes.io/controller-uid": string(j.UID)},
	}
}

// setAddresses chooses what the server chooses for a Service.
func setAddresses(s *core.Service) {
	s.Spec.IPFamilies = []core.IPFamily{core.IPv4Protocol}
	if s.Spec.ClusterIP != "" && len(s.Spec.ClusterIPs) == 0 {
		s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	}
}

// validate is what the server does with a new object of each kind.
func validate(o runtime.Object) (field.ErrorList, error) {
	switch x := o.(type) {
	case *apps.DaemonSet:
		return appsvalidation.ValidateDaemonSet(x, podOptions(&x.Spec.Template)), nil
	case *apps.Deployment:
		return appsvalidation.ValidateDeployment(x, podOptions(&x.Spec.Template)), nil
	case *apps.ReplicaSet:
		return appsvalidation.ValidateReplicaSet(x, podOptions(&x.Spec.Template)), nil
	case *apps.StatefulSet:
		// The server looks at little of the template here, and at all of it in each pod.
		options := podOptions(&x.Spec.Template)
		return append(appsvalidation.ValidateStatefulSet(x, options),
			corevalidation.ValidatePodTemplateSpec(&x.Spec.Template, field.NewPath("spec", "template"),
				options)...), nil
	case *batch.CronJob:
		return batchvalidation.ValidateCronJobCreate(x, podOptions(&x.Spec.JobTemplate.Spec.Template)), nil
	case *batch.Job:
		selectJob(x)
		return batchvalidation.ValidateJob(x, batchvalidation.JobValidationOptions{
			PodValidationOptions:  podOptions(&x.Spec.Template),
			RequirePrefixedLabels: true,
		}), nil
	case *core.ConfigMap:
		return corevalidation.ValidateConfigMap(x), nil
	case *core.Namespace:
		return corevalidation.ValidateNamespace(x), nil
	case *core.Pod:
		return corevalidation.ValidatePodCreate(x, podutil.GetValidationOptionsFromPodSpecAndMeta(
			&x.Spec, nil, &x.ObjectMeta, nil)), nil
	case *core.ReplicationController:
		return corevalidation.ValidateReplicationController(x, podOptions(x.Spec.Template)), nil
	case *core.Secret:
		return corevalidation.ValidateSecret(x), nil
	case *core.Service:
		setAddresses(x)
		return corevalidation.ValidateServiceCreate(x), nil
	case *core.ServiceAccount:
		return corevalidation.ValidateServiceAccount(x), nil
	case *networking.NetworkPolicy:
		return networkvalidation.ValidateNetworkPolicy(x, networkvalidation.NetworkPolicyValidationOptions{}), nil
	case *node.RuntimeClass:
		return nodevalidation.ValidateRuntimeClass(x), nil
	case *policy.PodDisruptionBudget:
		return policyvalidation.ValidatePodDisruptionBudget(x,
			policyvalidation.PodDisruptionBudgetValidationOptions{}), nil
	}
	return nil, errors.New("this kind is not in the table of kubernetes-schema")
}

// The server takes the namespace from the request where the object has none.
func setNamespace(o runtime.Object) error {
	switch o.(type) {
	case *node.RuntimeClass, *core.Namespace:
		return nil
	}
	m, err := meta.Accessor(o)
	if err == nil && m.GetNamespace() == "" {
		m.SetNamespace("default")
	}
	return err
}

func judge(document []byte, decoder runtime.Decoder) (string, error) {
	o, kind, err := decoder.Decode(document, nil, nil)
	if err != nil {
		return "", err
	}
	if err := setNamespace(o); err != nil {
		return "", err
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return "", err
	}
	name := kind.Kind + "/" + m.GetName()
	problems, err := validate(o)
	if err == nil {
		err = problems.ToAggregate()
	}
	return name, err
}

// split gives the items of a List, or the document itself; none for one of comments alone.
func split(document []byte) ([][]byte, error) {
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(text, []byte("null")) {
		return nil, nil
	}
	var list struct {
		Kind  string            `json:"kind"`
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	if list.Kind != "List" {
		return [][]byte{document}, nil
	}
	var items [][]byte
	for _, item := range list.Items {
		items = append(items, item)
	}
	return items, nil
}

// judgeFile gives how many resources were taken and refused.
func judgeFile(path string, decoder runtime.Decoder) (taken, refused int) {
	file, err := os.Open(path)
	if err != nil {
		fmt.Printf("%s: REFUSED: %v\n", path, err)
		return 0, 1
	}
	defer file.Close()
	reader := yamlutil.NewYAMLReader(bufio.NewReader(file))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return taken, refused
		}
		var items [][]byte
		if err == nil {
			items, err = split(document)
		}
		if err != nil {
			fmt.Printf("%s: REFUSED: %v\n", path, err)
			return taken, refused + 1
		}
		for _, item := range items {
			name, err := judge(item, decoder)
			if err != nil {
				fmt.Printf("%s: %s REFUSED: %v\n", path, name, err)
				refused++
			} else {
				fmt.Printf("%s: %s\n", path, name)
				taken++
			}
		}
	}
}

func main() {
	capabilities.Setup(true, 0) // privileged containers, as API servers allow by default
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder()
	taken, refused := 0, 0
	for _, path := range os.Args[1:] {
		t, r := judgeFile(path, decoder)
		taken, refused = taken+t, refused+r
	}
	fmt.Printf("%d taken, %d refused\n", taken, refused)
	if refused > 0 || taken == 0 {
		os.Exit(1)
	}
}
