#include "services/shadow_router/edge/openai_routes.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/http/async.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "services/shadow_router/edge/openai_error.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::Status BadFeedback(const std::string& field, const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = "FEEDBACK_INVALID", .metadata = {}, .violations = {{field, message}}});
}

Json ModelJson(const ResolvedRoute& route) {
  return {{"id", LastSegment(route.route.name)},
          {"object", "model"},
          {"created", absl::ToUnixSeconds(route.route.create_time)},
          {"owned_by", "crossover"}};
}

http::Response ListModels(const RoutingTableHolder& table) {
  const auto now = table.Get();
  Json data = Json::array();
  for (const auto& [name, route] : now->routes()) data.push_back(ModelJson(*route));
  return http::Response::Json(200, Dump({{"object", "list"}, {"data", data}}));
}

http::Response GetModel(const RoutingTableHolder& table, const std::string& name) {
  const auto now = table.Get();
  const auto route = now->Find(name);
  if (route != nullptr) return http::Response::Json(200, Dump(ModelJson(*route)));
  return OpenAiError(
      Error(absl::StatusCode::kNotFound,
            absl::StrCat("there is no route '", name,
                         "'; there are: ", absl::StrJoin(now->Names(), ", ")),
            {.reason = "ROUTE_NOT_FOUND", .metadata = {}, .violations = {{"model", "unknown"}}}));
}

http::Response TakeFeedback(const http::Request& request, const OpenAiRoutesOptions& options,
                            const OpenAiRoutesDeps& deps) {
  absl::StatusOr<Feedback> feedback = ParseFeedback(request.body);
  if (!feedback.ok()) return OpenAiError(feedback.status());
  feedback->id = deps.ids.NextId();
  feedback->project = options.project;
  feedback->time = deps.clock.Now();
  if (const absl::Status status = deps.flusher.Record(*feedback); !status.ok())
    return OpenAiError(status);
  return http::Response::Json(200, Dump({{"object", "feedback"},
                                         {"id", feedback->id},
                                         {"inference_id", feedback->inference_id},
                                         {"name", feedback->name},
                                         {"created", absl::ToUnixSeconds(feedback->time)}}));
}

Json StoredJson(const Recording& recording) {
  const Json messages = Json::parse(recording.request, nullptr, /*allow_exceptions=*/false);
  return {{"id", recording.completion_id.empty() ? recording.id : recording.completion_id},
          {"object", "chat.completion"},
          {"created", absl::ToUnixSeconds(recording.time)},
          {"model", LastSegment(recording.route)},
          {"metadata", recording.metadata},
          {"messages", messages.is_discarded() ? Json() : messages},
          {"choices",
           Json::array({{{"index", 0},
                         {"finish_reason", "stop"},
                         {"message", {{"role", "assistant"}, {"content", recording.response}}}}})},
          {"usage",
           {{"prompt_tokens", recording.usage.input},
            {"completion_tokens", recording.usage.output},
            {"total_tokens", recording.usage.input + recording.usage.output}}}};
}

http::Response ListStored(const http::Request& request, const OpenAiRoutesOptions& options,
                          const OpenAiRoutesDeps& deps) {
  Page page{.size = 20, .token = request.Query("after").value_or("")};
  if (const auto limit = request.Query("limit");
      limit && (!absl::SimpleAtoi(*limit, &page.size) || page.size < 1 || page.size > 100)) {
    return OpenAiError(
        Error(absl::StatusCode::kInvalidArgument, "'limit' must lie between 1 and 100",
              {.reason = "FIELD_INVALID", .metadata = {}, .violations = {{"limit", "1 to 100"}}}));
  }
  const auto model = request.Query("model");
  const auto listed = deps.store.ListRecordings(
      model ? absl::StrCat(options.project, "/routes/", *model) : "", page);
  if (!listed.ok()) return OpenAiError(listed.status());
  Json data = Json::array();
  for (const Recording& recording : listed->items) data.push_back(StoredJson(recording));
  return http::Response::Json(200, Dump({{"object", "list"},
                                         {"data", data},
                                         {"has_more", !listed->next_token.empty()},
                                         {"last_id", listed->next_token}}));
}

}  // namespace

absl::StatusOr<Feedback> ParseFeedback(std::string_view body) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return BadFeedback("", "the body must be a JSON object");
  Feedback feedback;
  for (const char* key : {"inference_id", "id"}) {
    if (const auto it = json.find(key); it != json.end() && it->is_string()) {
      feedback.inference_id = it->get<std::string>();
      break;
    }
  }
  if (feedback.inference_id.empty()) {
    return BadFeedback("inference_id",
                       "'inference_id' must be the answer's id, or its x-crossover-inference-id");
  }
  const auto name = json.find("name");
  if (name == json.end() || !name->is_string() || name->get<std::string>().empty()) {
    return BadFeedback(
        "name", "'name' must say what is meant: label, demonstration, or a name of your own");
  }
  feedback.name = name->get<std::string>();
  const auto value = json.find("value");
  if (value == json.end() || value->is_null()) return BadFeedback("value", "'value' is missing");
  const bool right_output = feedback.name == "label" || feedback.name == "demonstration";
  // A label may be given as JSON itself; it is compared as text then.
  if (right_output && !value->is_string()) {
    feedback.value = Dump(Dump(*value));
  } else if (value->is_boolean() || value->is_number() || value->is_string()) {
    feedback.value = Dump(*value);
  } else {
    return BadFeedback("value", "'value' must be true, false, a number or a string");
  }
  if (const auto author = json.find("author"); author != json.end() && author->is_string()) {
    feedback.author = author->get<std::string>();
  }
  return feedback;
}

void AddOpenAiRoutes(http::Server& server, const OpenAiRoutesOptions& options,
                     const OpenAiRoutesDeps& deps) {
  server.async().Handle("POST", "/v1/chat/completions",
                        [chat = &deps.chat](http::AsyncExchange& exchange) -> http::Task<void> {
                          return chat->Handle(exchange);
                        },
                        {.max_body_bytes = options.max_body_bytes});
  server.Handle("GET", "/v1/chat/completions", [options, deps](const http::Request& request) {
    return ListStored(request, options, deps);
  });
  server.Handle("GET", "/v1/models",
                [deps](const http::Request&) { return ListModels(deps.table); });
  server.Handle("GET", "/v1/models/{model...}", [deps](const http::Request& request) {
    const auto name = request.params.find("model");
    return GetModel(deps.table, name == request.params.end() ? "" : name->second);
  });
  server.Handle("POST", "/v1/feedback", [options, deps](const http::Request& request) {
    return TakeFeedback(request, options, deps);
  });
}

}  // namespace crossover::router
