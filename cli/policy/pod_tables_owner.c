/* Pod tables: what stands around a pod: metadata, controllers.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/policy/pod_tables.h"

#define SERVER "the API server writes it"
#define CONTROLLER "for the controller: when and how many pods it makes"

/* --- Metadata */

LOCAL_TABLE(owner_reference, IGNORED("apiVersion", STRING, MORE),
            IGNORED("blockOwnerDeletion", BOOL, MORE), IGNORED("controller", BOOL, MORE),
            IGNORED("kind", STRING, MORE), IGNORED("name", STRING, MORE),
            IGNORED("uid", STRING, MORE));

#define SERVER_METADATA                                                                            \
    IGNORED("creationTimestamp", TIME, SERVER), IGNORED("deletionGracePeriodSeconds", INT, MORE),  \
        IGNORED("deletionTimestamp", TIME, MORE), IGNORED("generation", INT, MORE),                \
        IGNORED("managedFields", LIST, MORE), IGNORED("resourceVersion", SCALAR, MORE),            \
        IGNORED("selfLink", STRING, MORE), IGNORED("uid", STRING, MORE),                           \
        IGNORED("clusterName", STRING, MORE),                                                      \
        IGNORED("finalizers", STRINGS, "for the API server"),                                      \
        IGNORED_LIST("ownerReferences", owner_reference, "for the API server")

POD_TABLE(pod_tables_metadata, "metadata", USED("name", STRING, "a Pod's name must be this one"),
          USED("generateName", STRING, "a Pod's name must begin so"),
          USED("namespace", STRING, "the pod's namespace must be this one"),
          USED("labels", TEXTS, "values of variables that name them"),
          USED("annotations", TEXTS, "values of variables that name them; settings of generate"),
          SERVER_METADATA);

POD_TABLE(pod_tables_plain_metadata, NULL,
          USED("name", STRING, "names of pods begin with the controller's"),
          USED("generateName", STRING, "the same, when it has no name"),
          USED("namespace", STRING, "the pod's namespace must be this one"),
          IGNORED("labels", TEXTS, "not those of the pod"),
          IGNORED("annotations", TEXTS, "not those of the pod"), SERVER_METADATA);

LOCAL_TABLE(selector_requirement, IGNORED("key", STRING, MORE), IGNORED("operator", STRING, MORE),
            IGNORED("values", STRINGS, MORE));
POD_TABLE(pod_tables_label_selector, NULL,
          IGNORED_LIST("matchExpressions", selector_requirement, MORE),
          IGNORED("matchLabels", TEXTS, MORE));

LOCAL_TABLE(pod_template, USED_OBJECT("metadata", pod_tables_metadata, MORE),
            USED_OBJECT("spec", pod_tables_spec, MORE));

/* --- Controllers. What stands below their strategies makes no difference to a pod. */

#define SELECTOR                                                                                   \
    IGNORED_OBJECT("selector", pod_tables_label_selector,                                          \
                   "which pods the controller counts as its own")
#define TEMPLATE USED_OBJECT("template", pod_template, "the pod")
#define COUNTS IGNORED("replicas", INT, CONTROLLER), IGNORED("minReadySeconds", INT, CONTROLLER)

LOCAL_TABLE(deployment, TEMPLATE, SELECTOR, COUNTS, IGNORED("strategy", OBJECT, CONTROLLER),
            IGNORED("paused", BOOL, CONTROLLER),
            IGNORED("progressDeadlineSeconds", INT, CONTROLLER),
            IGNORED("revisionHistoryLimit", INT, CONTROLLER),
            IGNORED("rollbackTo", OBJECT, CONTROLLER));
LOCAL_TABLE(stateful_set, TEMPLATE, SELECTOR, COUNTS,
            USED("serviceName", STRING, "the subdomain of the pods' host names"),
            USED_LIST("volumeClaimTemplates", pod_tables_claim,
                      "volumes of the pod, as a persistentVolumeClaim of that name"),
            IGNORED("ordinals", OBJECT, "any number may stand behind the name"),
            IGNORED("persistentVolumeClaimRetentionPolicy", OBJECT, CONTROLLER),
            IGNORED("podManagementPolicy", STRING, CONTROLLER),
            IGNORED("revisionHistoryLimit", INT, CONTROLLER),
            IGNORED("updateStrategy", OBJECT, CONTROLLER));
LOCAL_TABLE(daemon_set, TEMPLATE, SELECTOR, IGNORED("minReadySeconds", INT, CONTROLLER),
            IGNORED("revisionHistoryLimit", INT, CONTROLLER),
            IGNORED("templateGeneration", INT, CONTROLLER),
            IGNORED("updateStrategy", OBJECT, CONTROLLER));
LOCAL_TABLE(replica_set, TEMPLATE, SELECTOR, COUNTS);
LOCAL_TABLE(replication_controller, TEMPLATE, COUNTS,
            IGNORED("selector", TEXTS, "which pods the controller counts as its own"));
LOCAL_TABLE_AT(job, "Job.spec", TEMPLATE, SELECTOR,
               USED("completionMode", STRING, "Indexed: JOB_COMPLETION_INDEX, and the host name"),
               IGNORED("activeDeadlineSeconds", INT, CONTROLLER),
               IGNORED("backoffLimit", INT, CONTROLLER),
               IGNORED("backoffLimitPerIndex", INT, CONTROLLER),
               IGNORED("completions", INT, CONTROLLER), IGNORED("managedBy", STRING, CONTROLLER),
               IGNORED("manualSelector", BOOL, CONTROLLER),
               IGNORED("maxFailedIndexes", INT, CONTROLLER),
               IGNORED("parallelism", INT, CONTROLLER),
               IGNORED("podFailurePolicy", OBJECT, CONTROLLER),
               IGNORED("podReplacementPolicy", STRING, CONTROLLER),
               IGNORED("successPolicy", OBJECT, CONTROLLER), IGNORED("suspend", BOOL, CONTROLLER),
               IGNORED("ttlSecondsAfterFinished", INT, CONTROLLER));
LOCAL_TABLE(job_template,
            IGNORED_OBJECT("metadata", pod_tables_plain_metadata, "of the Job, not of the pod"),
            USED_OBJECT("spec", job, "as Job.spec"));
LOCAL_TABLE(cron_job, USED_OBJECT("jobTemplate", job_template, "the Job"),
            IGNORED("concurrencyPolicy", STRING, CONTROLLER),
            IGNORED("failedJobsHistoryLimit", INT, CONTROLLER),
            IGNORED("schedule", STRING, CONTROLLER),
            IGNORED("startingDeadlineSeconds", INT, CONTROLLER),
            IGNORED("successfulJobsHistoryLimit", INT, CONTROLLER),
            IGNORED("suspend", BOOL, CONTROLLER), IGNORED("timeZone", STRING, CONTROLLER));

/* --- Resources */

#define AROUND(metadata)                                                                           \
    USED("apiVersion", STRING, "any version of the kind"),                                         \
        USED("kind", STRING, "where the pod stands"), USED_OBJECT("metadata", metadata, MORE),     \
        IGNORED("status", OBJECT, SERVER)
#define OWNER(name, kind, spec)                                                                    \
    LOCAL_TABLE_AT(name##_resource, kind, AROUND(pod_tables_plain_metadata),                       \
                   USED_OBJECT("spec", spec, MORE))

OWNER(deployment, "Deployment", deployment);
OWNER(stateful_set, "StatefulSet", stateful_set);
OWNER(daemon_set, "DaemonSet", daemon_set);
OWNER(replica_set, "ReplicaSet", replica_set);
OWNER(replication_controller, "ReplicationController", replication_controller);
OWNER(job, "Job", job);
OWNER(cron_job, "CronJob", cron_job);
LOCAL_TABLE_AT(pod_resource, "Pod", AROUND(pod_tables_metadata),
               USED_OBJECT("spec", pod_tables_spec, MORE));

const struct pod_table *pod_fields_table(const char *kind) {
    static const struct pod_table *const tables[] = {
        &pod_resource,        &deployment_resource,  &stateful_set_resource,
        &daemon_set_resource, &replica_set_resource, &replication_controller_resource,
        &job_resource,        &cron_job_resource,
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        if (strcmp(tables[i]->root, kind) == 0) {
            return tables[i];
        }
    }
    return NULL;
}
