// Keeps a served request because its client asked for it (`store: true`) and the task's data policy
// allows it.
#pragma once

#include <string>

#include "services/shadow_router/domain/books.h"
#include "services/shadow_router/domain/redactor.h"
#include "services/shadow_router/domain/routing_table.h"

namespace crossover::router {

// nullopt if the policy is OFF. METADATA: no text. REDACTED: text (the client's metadata and
// tool calls are text too) after redaction, none if that fails (closed, not open).
std::optional<Recording> MakeRecording(const ResolvedRoute& route, const std::string& variant,
                                       const ChatRequest& request, const Answer& answer,
                                       const std::string& inference_id, absl::Time now,
                                       const Redactor& redactor);

}  // namespace crossover::router
