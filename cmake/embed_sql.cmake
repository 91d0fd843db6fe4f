# crossover_embed_sql(<target> [SCHEMA name] [NAMESPACE ns])
#
# For a storage room: turns sql/*.sql and migrations/NNNN_*.sql beside its CMakeLists.txt into the header
# "<the room's path>/embedded_sql.h" (under build/<preset>/gen):
#   namespace <ns>::sql { inline constexpr char kClaimJob[] = …; }   one constant a file: claim_job.sql → kClaimJob
#   namespace <ns> { inline pg::SchemaMigrations Migrations(); }
# SCHEMA defaults to the target's name without `_storage`, NAMESPACE to crossover::<schema>.
set(crossover_embed_sql_script ${CMAKE_CURRENT_LIST_DIR}/embed_sql_script.cmake)

function(crossover_embed_sql target)
  cmake_parse_arguments(ARG "" "SCHEMA;NAMESPACE" "" ${ARGN})
  if(NOT ARG_SCHEMA)
    string(REGEX REPLACE "_storage$" "" ARG_SCHEMA ${target})
  endif()
  if(NOT ARG_NAMESPACE)
    set(ARG_NAMESPACE crossover::${ARG_SCHEMA})
  endif()
  file(GLOB queries CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/sql/*.sql)
  file(GLOB migrations CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/migrations/*.sql)
  file(RELATIVE_PATH room ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  set(header ${CMAKE_BINARY_DIR}/gen/${room}/embedded_sql.h)
  add_custom_command(OUTPUT ${header}
    COMMAND ${CMAKE_COMMAND} -DHEADER=${header} -DFOLDER=${CMAKE_CURRENT_SOURCE_DIR} -DSCHEMA=${ARG_SCHEMA}
            -DNAMESPACE=${ARG_NAMESPACE} -P ${crossover_embed_sql_script}
    DEPENDS ${queries} ${migrations} ${crossover_embed_sql_script} VERBATIM)
  target_sources(${target} PRIVATE ${header})
  target_include_directories(${target} PUBLIC ${CMAKE_BINARY_DIR}/gen)
  target_link_libraries(${target} PUBLIC common_pg)
  # Users of the target need the header before they compile.
  add_custom_target(${target}_embedded_sql DEPENDS ${header})
  add_dependencies(${target} ${target}_embedded_sql)
endfunction()
