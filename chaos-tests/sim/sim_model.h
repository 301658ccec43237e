/* Sim, model: what happens in a run, in the words of the models in chaos-tests/formal.
 *
 * One line an event, its name and then numbers. Replicas are numbered from 0 as they are born, keys
 * from 1 as they are first seen; a set of replicas is a number with a bit for each.
 *
 *   RUN seed scenario               a run begins; scenario 0: faults
 *   BORN id name                    a process, empty, under the name of its pod
 *   FOUND set                       the founders of the record
 *   START id                        it started as a founder
 *   LEAD id term has                it leads, and holds so many of the entries from ADMIT to REMOVE
 *                                   and RECOVER
 *   WELL set                        those to whom nothing happened for a while
 *   ADMIT leader id name by         committed entries of the log, in its order: who led, and which
 *   RETIRE leader id by             replicas had stored it then, those that died since with them
 *   DROP leader id by
 *   ADD leader id by                committed configurations, as what changed
 *   PROMOTE leader id by
 *   REMOVE leader id by
 *   SET generation key taken        SET_MANIFEST; taken 0: refused
 *   ISSUE generation taken
 *   RECOVER id epoch previous generation key
 *   HOLDS id generation key epoch   its state has become that
 *   ASK ticket                      somebody asks
 *   ACK generation key              a set returned; key 0: the same manifest was active already
 *   CERT ticket generation          a certificate was granted
 *   READ ticket generation          a confirmed answer
 *   GONE id                         its memory is lost
 *   END                             the run came to its end
 *
 * Reads the replicas and changes nothing: a run with a trace is the run without one. At most
 * SIM_MODEL_IDS processes a run are followed; with one more the trace ends early, with FULL.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SIM_MODEL_H
#define CONTRAST_SIM_MODEL_H

#include "chaos-tests/sim/sim.h"

#define SIM_MODEL_IDS 31

struct sim_model;

/* s->options->model_trace is where it writes; NULL: nothing of this does anything. */
void sim_model_begin(struct sim *s);
void sim_model_end(struct sim *s);
/* After each event, and before anybody is told of what was applied in one. */
void sim_model_step(struct sim *s);
void sim_model_asked(struct sim *s, const struct sim_op *op);
void sim_model_replied(struct sim *s, const struct sim_op *op, const struct replica_reply *reply);
void sim_model_gone(struct sim *s, const struct sim_pod *p); /* its memory is about to be lost */

#endif
