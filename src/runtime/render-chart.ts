/** One curve; a point has a label where it needs one. */
export interface ChartSeries {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number; readonly label?: string }[];
  readonly form: 'line' | 'dots';
}

export interface Chart {
  readonly title: string;
  readonly xName: string;
  readonly yName: string;
  readonly series: readonly ChartSeries[];
}

const WIDTH_PX = 720;
const HEIGHT_PX = 420;

/** Without a DOM the width of texts is a guess, and short of it by up to a fifth. */
const LEGEND_GAP_PX = 45;

/**
 * Below on the right, where a curve that rises or falls has no line, and on a rim of the background where
 * it has one all the same.
 */
const LABEL = {
  show: true,
  position: 'right' as const,
  offset: [-2, 11],
  textBorderColor: '#ffffff',
  textBorderWidth: 3,
};

/**
 * The chart as an SVG document, drawn by echarts without a DOM; the only importer of echarts, which is
 * loaded when the first chart is drawn. The same chart gives the same bytes.
 */
export async function renderChart(chart: Chart): Promise<string> {
  const { init, use } = await import('echarts/core');
  const { LineChart, ScatterChart } = await import('echarts/charts');
  const { GridComponent, LegendComponent, TitleComponent } = await import('echarts/components');
  const { SVGRenderer } = await import('echarts/renderers');
  use([LineChart, ScatterChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);
  const drawing = init(null, null, {
    renderer: 'svg',
    ssr: true,
    width: WIDTH_PX,
    height: HEIGHT_PX,
  });
  try {
    const axis = {
      type: 'value' as const,
      scale: true,
      nameLocation: 'middle' as const,
      // Points and their labels keep off the axes.
      boundaryGap: ['5%', '5%'] as [string, string],
    };
    drawing.setOption({
      animation: false,
      backgroundColor: '#ffffff',
      title: { text: chart.title, left: 'center', textStyle: { fontSize: 15 } },
      legend: { bottom: 0, itemGap: LEGEND_GAP_PX },
      grid: { left: 70, right: 30, top: 50, bottom: 80 },
      xAxis: { ...axis, name: chart.xName, nameGap: 30 },
      yAxis: { ...axis, name: chart.yName, nameGap: 50 },
      series: chart.series.map(({ name, form, points }) => ({
        name,
        type: form === 'line' ? ('line' as const) : ('scatter' as const),
        symbolSize: form === 'line' ? 7 : 14,
        data: points.map(({ x, y, label }) => ({
          value: [x, y],
          ...(label === undefined ? {} : { label: { ...LABEL, formatter: label } }),
        })),
      })),
    });
    return drawing.renderToSVGString();
  } finally {
    drawing.dispose();
  }
}
