#include "common/http/route_table.h"

#include <utility>

namespace crossover::http {
namespace {

// Takes the first segment off "/a/b"; returns it without the slash.
std::string_view TakeSegment(std::string_view& path) {
  if (path.starts_with('/')) path.remove_prefix(1);
  const size_t end = path.find('/');
  const std::string_view segment = path.substr(0, end);
  path = end == std::string_view::npos ? std::string_view() : path.substr(end);
  return segment;
}

}  // namespace

void RouteTable::Add(std::string_view method, std::string_view pattern, Route route) {
  Node* node = &root_;
  while (!pattern.empty() && pattern != "/") {
    std::string_view segment = TakeSegment(pattern);
    const bool is_parameter = segment.starts_with('{') && segment.ends_with('}');
    if (!is_parameter) {
      auto& next = node->literals[std::string(segment)];
      if (next == nullptr) next = std::make_unique<Node>();
      node = next.get();
      continue;
    }
    segment = segment.substr(1, segment.size() - 2);
    if (segment.ends_with("...")) {
      node->rest_name = segment.substr(0, segment.size() - 3);
      node->rest_methods[std::string(method)] = std::move(route);
      return;
    }
    if (node->parameter == nullptr) node->parameter = std::make_unique<Node>();
    node->parameter_name = segment;
    node = node->parameter.get();
  }
  node->methods[std::string(method)] = std::move(route);
}

const RouteTable::Node* RouteTable::Walk(const Node& node, std::string_view rest,
                                         std::map<std::string, std::string>& params,
                                         bool& is_rest) {
  is_rest = false;
  if (rest.empty() || (rest == "/" && !node.methods.empty())) {
    if (!node.methods.empty()) return &node;
  } else {
    std::string_view tail = rest;
    const std::string_view segment = TakeSegment(tail);
    if (const auto it = node.literals.find(segment); it != node.literals.end()) {
      if (const Node* found = Walk(*it->second, tail, params, is_rest)) return found;
    }
    if (node.parameter != nullptr && !segment.empty()) {
      if (const Node* found = Walk(*node.parameter, tail, params, is_rest)) {
        params[node.parameter_name] = UrlDecode(segment);
        return found;
      }
    }
  }
  if (node.rest_methods.empty()) return nullptr;
  is_rest = true;
  params[node.rest_name] = UrlDecode(rest.starts_with('/') ? rest.substr(1) : rest);
  return &node;
}

RouteTable::Match RouteTable::Find(std::string_view method, std::string_view path) const {
  Match out;
  bool is_rest = false;
  const Node* node = Walk(root_, path, out.params, is_rest);
  if (node == nullptr) return out;
  const auto& methods = is_rest ? node->rest_methods : node->methods;
  auto it = methods.find(std::string(method));
  if (it == methods.end() && method == "HEAD") it = methods.find("GET");
  if (it != methods.end()) {
    out.route = &it->second;
    return out;
  }
  for (const auto& [name, route] : methods) out.allow += (out.allow.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace crossover::http
