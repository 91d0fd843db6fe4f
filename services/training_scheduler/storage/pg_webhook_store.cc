#include "services/training_scheduler/storage/pg_webhook_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/id/request_id.h"
#include "common/id/uuid7.h"
#include "common/pg/transaction.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/webhook_errors.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/job_json.h"
#include "services/training_scheduler/storage/job_row.h"

namespace crossover::scheduler {
namespace {

std::string UuidOrEmpty(const std::string& id) { return id.empty() ? "" : Uuid(id); }

absl::Time Micros(const pqxx::row& row, const char* column) {
  return absl::FromUnixMicros(row[column].as<int64_t>());
}

absl::StatusOr<WebhookEndpoint> ReadEndpoint(const pqxx::row& row) {
  WebhookEndpoint endpoint;
  ASSIGN_OR_RETURN(endpoint.id, UuidToId(row["id"].as<std::string>()));
  endpoint.project = row["project"].as<std::string>();
  endpoint.url = row["url"].as<std::string>();
  endpoint.event_types =
      absl::StrSplit(row["event_types"].as<std::string>(), ',', absl::SkipEmpty());
  RETURN_IF_ERROR(StringsFromJson(row["labels"].as<std::string>(), endpoint.labels));
  endpoint.secret = row["secret"].as<std::string>();
  endpoint.disabled = row["disabled"].as<bool>();
  endpoint.create_time = Micros(row, "create_us");
  endpoint.update_time = Micros(row, "update_us");
  return endpoint;
}

absl::StatusOr<WebhookDelivery> ReadDelivery(const pqxx::row& row) {
  WebhookDelivery delivery;
  ASSIGN_OR_RETURN(delivery.id, UuidToId(row["id"].as<std::string>()));
  ASSIGN_OR_RETURN(delivery.endpoint, UuidToId(row["endpoint_id"].as<std::string>()));
  ASSIGN_OR_RETURN(delivery.job, UuidToId(row["job_id"].as<std::string>()));
  delivery.project = row["project"].as<std::string>();
  delivery.event_type = row["event_type"].as<std::string>();
  // The table's CHECK knows no other names.
  delivery.state =
      ParseDeliveryState(row["state"].as<std::string>()).value_or(DeliveryState::kPending);
  delivery.attempts = row["attempts"].as<int32_t>();
  delivery.response_status = row["response_status"].as<int32_t>();
  delivery.response = row["response"].as<std::string>();
  if (!row["next_us"].is_null()) delivery.next_time = Micros(row, "next_us");
  delivery.create_time = Micros(row, "create_us");
  delivery.update_time = Micros(row, "update_us");
  return delivery;
}

absl::StatusOr<WebhookEndpoint> FindEndpoint(pqxx::transaction_base& txn,
                                             const std::string& project, const std::string& id) {
  const pqxx::result rows =
      txn.exec_params(sql::kGetWebhookEndpoints, project, Uuid(id), "", "", 1);
  if (rows.empty()) return NoEndpoint(id);
  return ReadEndpoint(rows[0]);
}

absl::StatusOr<WebhookDelivery> FindDelivery(pqxx::transaction_base& txn,
                                             const std::string& project, const std::string& id) {
  const pqxx::result rows =
      txn.exec_params(sql::kListWebhookDeliveries, project, "", "", "", "", 1, Uuid(id));
  if (rows.empty()) return NoDelivery(id);
  return ReadDelivery(rows[0]);
}

}  // namespace

absl::StatusOr<WebhookEndpoint> PgWebhookStore::CreateEndpoint(const WebhookEndpoint& endpoint,
                                                               const RequestKey& key) {
  return pg::Transact(
      pool_, {.name = "insert_webhook_endpoint"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<WebhookEndpoint> {
        const bool inserted =
            !txn.exec_params(sql::kInsertWebhookEndpoint, Uuid(endpoint.id), endpoint.project,
                             key.id, key.payload_hash, endpoint.url,
                             pg::ArrayLiteral(endpoint.event_types), StringsToJson(endpoint.labels),
                             endpoint.secret, endpoint.disabled)
                 .empty();
        if (inserted) return FindEndpoint(txn, endpoint.project, endpoint.id);
        const pqxx::result known =
            txn.exec_params(sql::kGetWebhookEndpoints, endpoint.project, "", key.id, "", 1);
        if (known.empty()) return NoEndpoint(endpoint.id);  // deleted meanwhile
        if (known[0]["payload_hash"].as<std::string>() != key.payload_hash) {
          return RequestIdReused(key.id);
        }
        return ReadEndpoint(known[0]);
      });
}

absl::StatusOr<WebhookEndpoint> PgWebhookStore::GetEndpoint(const std::string& project,
                                                            const std::string& id) {
  return pg::Transact(pool_, {.name = "get_webhook_endpoint", .read_only = true},
                      [&](pqxx::transaction_base& txn) { return FindEndpoint(txn, project, id); });
}

absl::StatusOr<std::vector<WebhookEndpoint>> PgWebhookStore::ListEndpoints(
    const std::string& project, const std::string& before, int64_t limit) {
  return pg::Transact(pool_, {.name = "list_webhook_endpoints", .read_only = true},
                      [&](pqxx::transaction_base& txn) {
                        return ReadAll(txn.exec_params(sql::kGetWebhookEndpoints, project, "", "",
                                                       UuidOrEmpty(before), limit),
                                       &ReadEndpoint);
                      });
}

absl::StatusOr<WebhookEndpoint> PgWebhookStore::UpdateEndpoint(const WebhookEndpoint& endpoint) {
  return pg::Transact(
      pool_, {.name = "update_webhook_endpoint"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<WebhookEndpoint> {
        RETURN_IF_ERROR(FindEndpoint(txn, endpoint.project, endpoint.id).status());
        if (txn.exec_params(sql::kUpdateWebhookEndpoint, Uuid(endpoint.id), endpoint.url,
                            pg::ArrayLiteral(endpoint.event_types), StringsToJson(endpoint.labels),
                            endpoint.disabled, pg::ToTimestamp(endpoint.update_time))
                .empty()) {
          return EndpointChanged(endpoint.id);
        }
        return FindEndpoint(txn, endpoint.project, endpoint.id);
      });
}

absl::Status PgWebhookStore::DeleteEndpoint(const std::string& project, const std::string& id) {
  return pg::Transact(
      pool_, {.name = "delete_webhook_endpoint"}, [&](pqxx::transaction_base& txn) -> absl::Status {
        return txn.exec_params(sql::kDeleteWebhookEndpoint, project, Uuid(id)).empty()
                   ? NoEndpoint(id)
                   : absl::OkStatus();
      });
}

absl::StatusOr<std::vector<WebhookDelivery>> PgWebhookStore::ListDeliveries(
    const DeliveryQuery& query) {
  return pg::Transact(
      pool_, {.name = "list_webhook_deliveries", .read_only = true},
      [&](pqxx::transaction_base& txn) {
        return ReadAll(
            txn.exec_params(sql::kListWebhookDeliveries, query.project, UuidOrEmpty(query.endpoint),
                            query.state.has_value() ? std::string(Name(*query.state)) : "",
                            UuidOrEmpty(query.job), UuidOrEmpty(query.before), query.limit, ""),
            &ReadDelivery);
      });
}

absl::StatusOr<WebhookDelivery> PgWebhookStore::Redeliver(const std::string& project,
                                                          const std::string& endpoint,
                                                          const std::string& id) {
  return pg::Transact(
      pool_, {.name = "redeliver_webhook"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<WebhookDelivery> {
        if (txn.exec_params(sql::kRedeliverWebhook, project, Uuid(endpoint), Uuid(id)).empty()) {
          return NoDelivery(id);
        }
        return FindDelivery(txn, project, id);
      });
}

absl::StatusOr<std::optional<ClaimedDelivery>> PgWebhookStore::ClaimDelivery(absl::Duration lease) {
  return pg::Transact(
      pool_, {.name = "claim_webhook_delivery"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::optional<ClaimedDelivery>> {
        const pqxx::result claimed =
            txn.exec_params(sql::kClaimWebhookDelivery, absl::ToDoubleSeconds(lease));
        if (claimed.empty()) return std::optional<ClaimedDelivery>();
        const std::string project = claimed[0]["project"].as<std::string>();
        ClaimedDelivery out;
        ASSIGN_OR_RETURN(std::string id, UuidToId(claimed[0]["id"].as<std::string>()));
        ASSIGN_OR_RETURN(out.delivery, FindDelivery(txn, project, id));
        ASSIGN_OR_RETURN(out.endpoint, FindEndpoint(txn, project, out.delivery.endpoint));
        return std::optional(std::move(out));
      });
}

absl::StatusOr<bool> PgWebhookStore::FinishAttempt(const std::string& id, int32_t attempt,
                                                   const AttemptResult& result) {
  return pg::Transact(pool_, {.name = "finish_webhook_attempt"},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<bool> {
                        return !txn.exec_params(sql::kFinishWebhookAttempt, Uuid(id), attempt,
                                                std::string(Name(result.state)),
                                                absl::ToDoubleSeconds(result.pause),
                                                result.response_status, result.response,
                                                result.disable_endpoint)
                                    .empty();
                      });
}

absl::StatusOr<int64_t> PgWebhookStore::RemoveEnded(absl::Duration age, int64_t limit) {
  return pg::Transact(
      pool_, {.name = "remove_ended_deliveries"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<int64_t> {
        return static_cast<int64_t>(
            txn.exec_params(sql::kRemoveEndedDeliveries, absl::ToDoubleSeconds(age), limit).size());
      });
}

}  // namespace crossover::scheduler
