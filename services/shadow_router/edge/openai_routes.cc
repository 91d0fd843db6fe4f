#include "services/shadow_router/edge/openai_routes.h"

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/context/request_context.h"
#include "common/http/async.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/edge/model_routes.h"
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

std::string ProjectFor(const Caller& caller, const OpenAiRoutesOptions& options) {
  return caller.project.empty() ? options.project : caller.project;
}

// The routes that this caller sees, by name.
std::map<std::string, std::shared_ptr<const ResolvedRoute>> RoutesOf(
    const Caller& caller, const OpenAiRoutesOptions& options, const RoutingTableHolder& table) {
  const std::string project = ProjectFor(caller, options);
  std::map<std::string, std::shared_ptr<const ResolvedRoute>> routes;
  for (const auto& [name, route] : table.Get()->routes()) {
    if (ProjectOf(name) == project && MayUseRoute(caller, name)) routes[LastSegment(name)] = route;
  }
  return routes;
}

Json ModelJson(const LocalModelInfo& model) {
  return {{"id", model.id},
          {"object", "model"},
          {"created", absl::ToUnixSeconds(model.create_time)},
          {"owned_by", "crossover"}};
}

// Every model that this caller may name: routes, then models of our own.
absl::StatusOr<std::vector<Json>> ModelsOf(const Caller& caller, const OpenAiRoutesOptions& options,
                                           const OpenAiRoutesDeps& deps) {
  std::vector<Json> models;
  for (const auto& [name, route] : RoutesOf(caller, options, deps.table))
    models.push_back(ModelJson(*route));
  const std::string project = ProjectFor(caller, options);
  const bool may = MayUseRoute(caller, absl::StrCat(project, "/routes/", kModelRoute));
  if (deps.models == nullptr || !may) return models;
  RequestContext context;
  context.project = project;
  const ScopedContext scope(std::move(context));
  ASSIGN_OR_RETURN(const std::vector<LocalModelInfo> local, deps.models->List(project));
  for (const LocalModelInfo& model : local) models.push_back(ModelJson(model));
  return models;
}

http::Response ListModels(const http::Request&, const Caller& caller,
                          const OpenAiRoutesOptions& options, const OpenAiRoutesDeps& deps) {
  const absl::StatusOr<std::vector<Json>> models = ModelsOf(caller, options, deps);
  if (!models.ok()) return OpenAiError(models.status());
  return http::Response::Json(200, Dump({{"object", "list"}, {"data", *models}}));
}

std::string ModelParam(const http::Request& request) {
  const auto param = request.params.find("model");
  return param == request.params.end() ? "" : param->second;
}

http::Response GetModel(const http::Request& request, const Caller& caller,
                        const OpenAiRoutesOptions& options, const OpenAiRoutesDeps& deps) {
  const std::string name = ModelParam(request);
  const std::string prefix = absl::StrCat(ProjectFor(caller, options), "/routes/");
  const absl::StatusOr<std::vector<Json>> models = ModelsOf(caller, options, deps);
  if (!models.ok()) return OpenAiError(models.status());
  std::vector<std::string> names;
  for (const Json& model : *models) {
    const std::string id = model["id"];
    if (id == name || prefix + id == name) return http::Response::Json(200, Dump(model));
    names.push_back(id);
  }
  return OpenAiError(
      Error(absl::StatusCode::kNotFound,
            absl::StrCat("there is no route or model '", name,
                         "'; there are: ", absl::StrJoin(names, ", ")),
            {.reason = "ROUTE_NOT_FOUND", .metadata = {}, .violations = {{"model", "unknown"}}}));
}

http::Response DeleteModel(const http::Request& request, const Caller& caller,
                           const OpenAiRoutesOptions& options, const OpenAiRoutesDeps& deps) {
  const std::string name = ModelParam(request);
  const std::string project = ProjectFor(caller, options);
  RequestContext context;
  context.project = project;
  const ScopedContext scope(std::move(context));
  const absl::Status deleted =
      deps.models == nullptr ? Error(absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
                                     absl::StrCat("there is no fine-tuned model '", name, "'"))
                             : deps.models->Delete(project, name);
  if (!deleted.ok()) return OpenAiError(deleted);
  return http::Response::Json(200, Dump({{"id", name}, {"object", "model"}, {"deleted", true}}));
}

http::Response TakeFeedback(const http::Request& request, const Caller& caller,
                            const OpenAiRoutesOptions& options, const OpenAiRoutesDeps& deps) {
  absl::StatusOr<Feedback> feedback = ParseFeedback(request.body);
  if (!feedback.ok()) return OpenAiError(feedback.status());
  feedback->id = deps.ids.NextId();
  feedback->project = ProjectFor(caller, options);
  feedback->time = deps.clock.Now();
  const absl::StatusOr<bool> has_pair = deps.flusher.Record(*feedback);
  if (!has_pair.ok()) return OpenAiError(has_pair.status());
  Json answer = {{"object", "feedback"},
                 {"id", feedback->id},
                 {"inference_id", feedback->inference_id},
                 {"name", feedback->name},
                 {"created", absl::ToUnixSeconds(feedback->time)}};
  if (!*has_pair) answer["warning"] = NoPairYet(feedback->inference_id);
  return http::Response::Json(200, Dump(answer));
}

// As they were answered, but for the ids of the calls, which are not kept.
Json ToolCallsJson(const Recording& recording) {
  const Json calls = Json::parse(recording.tool_calls, nullptr, /*allow_exceptions=*/false);
  Json list = Json::array();
  if (!calls.is_array()) return list;
  for (const Json& call : calls) {
    const Json arguments = call.value("arguments", Json());
    list.push_back({{"id", absl::StrCat("call_", recording.id, "_", list.size())},
                    {"type", "function"},
                    {"function",
                     {{"name", call.value("name", "")},
                      {"arguments", arguments.is_string() ? arguments : Json(Dump(arguments))}}}});
  }
  return list;
}

Json StoredJson(const Recording& recording) {
  const Json messages = Json::parse(recording.request, nullptr, /*allow_exceptions=*/false);
  Json message = {{"role", "assistant"}, {"content", recording.response}};
  if (Json calls = ToolCallsJson(recording); !calls.empty()) message["tool_calls"] = calls;
  return {{"id", recording.completion_id.empty() ? recording.id : recording.completion_id},
          {"object", "chat.completion"},
          {"created", absl::ToUnixSeconds(recording.time)},
          {"model", LastSegment(recording.route)},
          {"metadata", recording.metadata},
          {"messages", messages.is_discarded() ? Json() : messages},
          {"choices",
           Json::array(
               {{{"index", 0}, {"finish_reason", recording.finish_reason}, {"message", message}}})},
          {"usage",
           {{"prompt_tokens", recording.usage.input},
            {"completion_tokens", recording.usage.output},
            {"total_tokens", recording.usage.input + recording.usage.output}}}};
}

http::Response ListStored(const http::Request& request, const Caller& caller,
                          const OpenAiRoutesOptions& options, const OpenAiRoutesDeps& deps) {
  Page page{.size = 20, .token = request.Query("after").value_or("")};
  if (const auto limit = request.Query("limit");
      limit && (!absl::SimpleAtoi(*limit, &page.size) || page.size < 1 || page.size > 100)) {
    return OpenAiError(
        Error(absl::StatusCode::kInvalidArgument, "'limit' must lie between 1 and 100",
              {.reason = "FIELD_INVALID", .metadata = {}, .violations = {{"limit", "1 to 100"}}}));
  }
  const auto model = request.Query("model");
  const std::string project = ProjectFor(caller, options);
  const auto listed =
      deps.store.ListRecordings(model ? absl::StrCat(project, "/routes/", *model) : "", page);
  if (!listed.ok()) return OpenAiError(listed.status());
  Json data = Json::array();
  // The store knows routes; what is another project's thins out its page.
  for (const Recording& recording : listed->items) {
    if (ProjectOf(recording.route) == project && MayUseRoute(caller, recording.route))
      data.push_back(StoredJson(recording));
  }
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
  RETURN_IF_ERROR(Validate(feedback));
  return feedback;
}

void AddOpenAiRoutes(http::Server& server, const OpenAiRoutesOptions& options,
                     const OpenAiRoutesDeps& deps) {
  server.async().Handle("POST", "/v1/chat/completions",
                        [chat = &deps.chat](http::AsyncExchange& exchange) -> http::Task<void> {
                          return chat->Handle(exchange);
                        },
                        {.max_body_bytes = options.max_body_bytes});
  using Answerer = http::Response (*)(const http::Request&, const Caller&,
                                      const OpenAiRoutesOptions&, const OpenAiRoutesDeps&);
  const auto add = [&](const char* method, const char* path, Access access, Answerer answer) {
    server.Handle(method, path, [options, deps, access, answer](const http::Request& request) {
      const absl::StatusOr<Caller> caller = deps.door.Admit(request, access);
      return caller.ok() ? answer(request, *caller, options, deps) : OpenAiError(caller.status());
    });
  };
  add("GET", "/v1/chat/completions", Access::kRead, ListStored);
  add("GET", "/v1/models", Access::kRead, ListModels);
  add("GET", "/v1/models/{model...}", Access::kRead, GetModel);
  add("DELETE", "/v1/models/{model...}", Access::kCall, DeleteModel);
  add("POST", "/v1/feedback", Access::kCall, TakeFeedback);
}

}  // namespace crossover::router
