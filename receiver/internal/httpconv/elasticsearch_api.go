// SPDX-License-Identifier: Apache-2.0

package httpconv

// elasticsearchAPI are the paths of Elasticsearch's and OpenSearch's REST API with the
// identifiers of their endpoints, for all methods or for each, as their specifications
// have them (https://github.com/elastic/elasticsearch-specification,
// https://github.com/opensearch-project/opensearch-api-specification). What is not
// here stays HTTP.
const elasticsearchAPI = `
/ GET=info HEAD=ping
/{index} GET=indices.get HEAD=indices.exists PUT=indices.create DELETE=indices.delete

/_search search
/{index}/_search search
/_search/scroll GET=scroll POST=scroll DELETE=clear_scroll
/_search/scroll/{scroll_id} GET=scroll POST=scroll DELETE=clear_scroll
/_search/template search_template
/{index}/_search/template search_template
/{index}/_search/point_in_time POST=create_pit
/_search/point_in_time DELETE=delete_pit
/_search/point_in_time/_all GET=get_all_pits DELETE=delete_all_pits
/_msearch msearch
/{index}/_msearch msearch
/_msearch/template msearch_template
/{index}/_msearch/template msearch_template
/_async_search POST=async_search.submit
/{index}/_async_search POST=async_search.submit
/_async_search/{id} GET=async_search.get DELETE=async_search.delete
/_async_search/status/{id} GET=async_search.status
/_count count
/{index}/_count count
/{index}/_explain/{id} explain
/_field_caps field_caps
/{index}/_field_caps field_caps
/{index}/_knn_search knn_search
/{index}/_pit POST=open_point_in_time
/_pit DELETE=close_point_in_time
/_rank_eval rank_eval
/{index}/_rank_eval rank_eval
/_search_shards search_shards
/{index}/_search_shards search_shards
/{index}/_terms_enum terms_enum
/_validate/query indices.validate_query
/{index}/_validate/query indices.validate_query
/_render/template render_search_template
/_query POST=esql.query
/_sql POST=sql.query
/_sql/close POST=sql.clear_cursor
/_sql/translate sql.translate
/{index}/_eql/search eql.search

/{index}/_doc POST=index
/{index}/_doc/{id} GET=get HEAD=exists PUT=index POST=index DELETE=delete
/{index}/_create/{id} create
/{index}/_update/{id} POST=update
/{index}/_source/{id} GET=get_source HEAD=exists_source
/_bulk bulk
/{index}/_bulk bulk
/_mget mget
/{index}/_mget mget
/{index}/_termvectors termvectors
/{index}/_termvectors/{id} termvectors
/_mtermvectors mtermvectors
/{index}/_mtermvectors mtermvectors
/{index}/_update_by_query POST=update_by_query
/{index}/_delete_by_query POST=delete_by_query
/_reindex POST=reindex
/_scripts/{id} GET=get_script PUT=put_script POST=put_script DELETE=delete_script

/_analyze indices.analyze
/{index}/_analyze indices.analyze
/_refresh indices.refresh
/{index}/_refresh indices.refresh
/_flush indices.flush
/{index}/_flush indices.flush
/_forcemerge POST=indices.forcemerge
/{index}/_forcemerge POST=indices.forcemerge
/_cache/clear POST=indices.clear_cache
/{index}/_cache/clear POST=indices.clear_cache
/_stats GET=indices.stats
/_stats/{metric} GET=indices.stats
/{index}/_stats GET=indices.stats
/{index}/_stats/{metric} GET=indices.stats
/_segments GET=indices.segments
/{index}/_segments GET=indices.segments
/_recovery GET=indices.recovery
/{index}/_recovery GET=indices.recovery
/{index}/_open POST=indices.open
/{index}/_close POST=indices.close
/{alias}/_rollover POST=indices.rollover
/{index}/_shrink/{target} indices.shrink
/{index}/_split/{target} indices.split
/{index}/_clone/{target} indices.clone
/_settings GET=indices.get_settings PUT=indices.put_settings
/{index}/_settings GET=indices.get_settings PUT=indices.put_settings
/{index}/_settings/{name} GET=indices.get_settings
/_mapping GET=indices.get_mapping
/{index}/_mapping GET=indices.get_mapping PUT=indices.put_mapping POST=indices.put_mapping
/_mapping/field/{fields} GET=indices.get_field_mapping
/{index}/_mapping/field/{fields} GET=indices.get_field_mapping
/_aliases POST=indices.update_aliases
/_alias GET=indices.get_alias
/_alias/{name} GET=indices.get_alias HEAD=indices.exists_alias
/{index}/_alias GET=indices.get_alias
/{index}/_alias/{name} GET=indices.get_alias HEAD=indices.exists_alias PUT=indices.put_alias POST=indices.put_alias DELETE=indices.delete_alias
/{index}/_aliases/{name} PUT=indices.put_alias POST=indices.put_alias DELETE=indices.delete_alias
/_template GET=indices.get_template
/_template/{name} GET=indices.get_template HEAD=indices.exists_template PUT=indices.put_template POST=indices.put_template DELETE=indices.delete_template
/_index_template GET=indices.get_index_template
/_index_template/{name} GET=indices.get_index_template HEAD=indices.exists_index_template PUT=indices.put_index_template POST=indices.put_index_template DELETE=indices.delete_index_template
/_component_template GET=cluster.get_component_template
/_component_template/{name} GET=cluster.get_component_template HEAD=cluster.exists_component_template PUT=cluster.put_component_template POST=cluster.put_component_template DELETE=cluster.delete_component_template
/_data_stream GET=indices.get_data_stream
/_data_stream/{name} GET=indices.get_data_stream PUT=indices.create_data_stream DELETE=indices.delete_data_stream
/_resolve/index/{name} GET=indices.resolve_index

/_cluster/health GET=cluster.health
/_cluster/health/{index} GET=cluster.health
/_cluster/settings GET=cluster.get_settings PUT=cluster.put_settings
/_cluster/state GET=cluster.state
/_cluster/state/{metric} GET=cluster.state
/_cluster/state/{metric}/{index} GET=cluster.state
/_cluster/stats GET=cluster.stats
/_cluster/pending_tasks GET=cluster.pending_tasks
/_cluster/reroute POST=cluster.reroute
/_cluster/allocation/explain cluster.allocation_explain
/_nodes GET=nodes.info
/_nodes/stats GET=nodes.stats
/_nodes/{node_id}/stats GET=nodes.stats
/_nodes/stats/{metric} GET=nodes.stats
/_nodes/hot_threads GET=nodes.hot_threads
/_nodes/usage GET=nodes.usage
/_tasks GET=tasks.list
/_tasks/{task_id} GET=tasks.get
/_tasks/{task_id}/_cancel POST=tasks.cancel
/_ingest/pipeline GET=ingest.get_pipeline
/_ingest/pipeline/_simulate ingest.simulate
/_ingest/pipeline/{id} GET=ingest.get_pipeline PUT=ingest.put_pipeline DELETE=ingest.delete_pipeline
/_ingest/pipeline/{id}/_simulate ingest.simulate
/_snapshot GET=snapshot.get_repository
/_snapshot/{repository} GET=snapshot.get_repository PUT=snapshot.create_repository POST=snapshot.create_repository DELETE=snapshot.delete_repository
/_snapshot/{repository}/{snapshot} GET=snapshot.get PUT=snapshot.create POST=snapshot.create DELETE=snapshot.delete
/_snapshot/{repository}/{snapshot}/_restore POST=snapshot.restore
/_snapshot/{repository}/{snapshot}/_status GET=snapshot.status
/_license GET=license.get
/_xpack GET=xpack.info
/_security/_authenticate GET=security.authenticate

/_cat GET=cat.help
/_cat/aliases GET=cat.aliases
/_cat/aliases/{name} GET=cat.aliases
/_cat/allocation GET=cat.allocation
/_cat/allocation/{node_id} GET=cat.allocation
/_cat/count GET=cat.count
/_cat/count/{index} GET=cat.count
/_cat/health GET=cat.health
/_cat/indices GET=cat.indices
/_cat/indices/{index} GET=cat.indices
/_cat/master GET=cat.master
/_cat/cluster_manager GET=cat.cluster_manager
/_cat/nodes GET=cat.nodes
/_cat/nodeattrs GET=cat.nodeattrs
/_cat/pending_tasks GET=cat.pending_tasks
/_cat/plugins GET=cat.plugins
/_cat/recovery GET=cat.recovery
/_cat/recovery/{index} GET=cat.recovery
/_cat/repositories GET=cat.repositories
/_cat/segments GET=cat.segments
/_cat/segments/{index} GET=cat.segments
/_cat/shards GET=cat.shards
/_cat/shards/{index} GET=cat.shards
/_cat/snapshots/{repository} GET=cat.snapshots
/_cat/tasks GET=cat.tasks
/_cat/templates GET=cat.templates
/_cat/templates/{name} GET=cat.templates
/_cat/thread_pool GET=cat.thread_pool
`
