// Which handler a request goes to. Private to common/http.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/async.h"

namespace crossover::http {

struct Route {
  AsyncHandler handler;
  RouteOptions options;
};

// A tree of path segments. Not thread-safe: filled before the server starts, read afterwards.
class RouteTable {
 public:
  void Add(std::string_view method, std::string_view pattern, Route route);

  struct Match {
    const Route* route = nullptr;
    std::map<std::string, std::string> params;
    std::string allow;  // methods of a path that exists, when the method doesn't
  };
  Match Find(std::string_view method, std::string_view path) const;

 private:
  struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
    std::unique_ptr<Node> parameter;            // {name}
    std::map<std::string, Route> methods;       // of a path that ends here
    std::map<std::string, Route> rest_methods;  // of {name...}
    std::string parameter_name;
    std::string rest_name;
  };

  static const Node* Walk(const Node& node, std::string_view rest,
                          std::map<std::string, std::string>& params, bool& is_rest);

  Node root_;
};

}  // namespace crossover::http
